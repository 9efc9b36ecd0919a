// A mirror of Istio's releases with the one release that the build packs. It listens on loopback inside the mesh.
import { createHash } from 'node:crypto'
import { appendFileSync, createReadStream, existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { step } from './progress.ts'
import { ISTIO_VERSION, mirrorPath, mirrorPort } from './settings.ts'
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

function serve(folder: string, log: string): void {
  createServer((request, response) => {
    const path = request.url?.startsWith(`${mirrorPath}/`) ? request.url.slice(mirrorPath.length) : ''
    const index = path === '/index.json' ? JSON.stringify(readdirSync(folder)) : undefined
    const file = /^\/[\d.]+\/[\w.-]+$/.test(path) && existsSync(join(folder, path)) ? join(folder, path) : undefined
    response.writeHead((file ?? index) ? 200 : 404)
    appendFileSync(log, `${new Date().toISOString()} ${request.method} ${request.url} ${response.statusCode}\n`)
    if (file && request.method === 'GET') createReadStream(file).pipe(response)
    else response.end(index)
  }).listen(mirrorPort, '127.0.0.1')
}

if (import.meta.main) {
  const [folder = '', log = ''] = process.argv.slice(2)
  serve(folder, log)
}
