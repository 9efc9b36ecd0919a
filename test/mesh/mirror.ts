// Serves the releases of Istio and kind that the build makes, on loopback inside the mesh.
import { createHash } from 'node:crypto'
import { appendFileSync, createReadStream, existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { step } from './progress.ts'
import { ISTIO_VERSION, mirrorPort } from './settings.ts'
import { sh } from './shell.ts'

/** Packs the built istioctl in the format of Istio's releases. */
export async function buildRelease(bin: string): Promise<string> {
  return cached({ name: 'releases', recipe: { bin, ISTIO_VERSION } }, (draft) =>
    step('istioctl release', async () => {
      const name = `istioctl-${ISTIO_VERSION}-linux-amd64.tar.gz`
      const archive = join(draft, ISTIO_VERSION, name)
      await mkdir(join(draft, ISTIO_VERSION))
      await sh([
        'tar',
        '-C',
        bin,
        '--owner=0',
        '--group=0',
        '--numeric-owner',
        '-I',
        'gzip -1',
        '-cf',
        archive,
        'istioctl',
      ])
      const hash = createHash('sha256')
        .update(await readFile(archive))
        .digest('hex')
      await writeFile(`${archive}.sha256`, `${hash} ${name}\n`)
    }),
  )
}

/** The folder of releases for each path of the mirror. */
type Folders = ReadonlyMap<string, string>

function serve(log: string, folders: Folders): void {
  appendFileSync(log, '') // a reader finds it before the first request
  createServer((request, response) => {
    const found = locate(request.url ?? '', folders)
    response.writeHead(found ? 200 : 404)
    appendFileSync(log, `${new Date().toISOString()} ${request.method} ${request.url} ${response.statusCode}\n`)
    if (found?.file && request.method === 'GET') createReadStream(found.file).pipe(response)
    else response.end(found?.index)
  }).listen(mirrorPort, '127.0.0.1')
}

/** A file of a release, or the list of all releases. */
function locate(url: string, folders: Folders): { file?: string; index?: string } | undefined {
  const [mirrored, folder] = [...folders].find(([each]) => url.startsWith(`${each}/`)) ?? []
  if (mirrored === undefined || folder === undefined) return undefined
  const path = url.slice(mirrored.length)
  if (path === '/index.json') return { index: JSON.stringify(readdirSync(folder)) }
  const isFile = /^\/v?[\d.]+\/[\w.-]+$/.test(path) && existsSync(join(folder, path))
  return isFile ? { file: join(folder, path) } : undefined
}

if (import.meta.main) {
  const [log = '', ...folders] = process.argv.slice(2)
  serve(log, new Map(folders.map((each) => each.split('=') as [path: string, folder: string])))
}
