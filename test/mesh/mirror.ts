// A mirror of releases: of Istio's with the one that the build packs, and of kind's. It listens on loopback inside the
// mesh.
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

/** `folders`: the folder of releases for each path of the mirror. */
function serve(log: string, folders: ReadonlyMap<string, string>): void {
  createServer((request, response) => {
    const { url = '' } = request
    const [prefix = '', folder = ''] = [...folders].find(([each]) => url.startsWith(`${each}/`)) ?? []
    const path = url.slice(prefix.length)
    const index = folder && path === '/index.json' ? JSON.stringify(readdirSync(folder)) : undefined
    const file = folder && /^\/v?[\d.]+\/[\w.-]+$/.test(path) ? join(folder, path) : ''
    const found = existsSync(file)
    response.writeHead(found || index ? 200 : 404)
    appendFileSync(log, `${new Date().toISOString()} ${request.method} ${request.url} ${response.statusCode}\n`)
    if (found && request.method === 'GET') createReadStream(file).pipe(response)
    else response.end(index)
  }).listen(mirrorPort, '127.0.0.1')
}

if (import.meta.main) {
  const [log = '', ...folders] = process.argv.slice(2)
  serve(log, new Map(folders.map((each) => each.split('=') as [path: string, folder: string])))
}
