// Answers for the sidecars of all pods of the benchmark, whose addresses all lead to this process. Run in the mesh's
// network. Prints a line once it listens.
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { network, placeOf } from './layout.ts'
import { sidecarText } from './sidecar-text.ts'

const startedAt = Date.now()

execFileSync('ip', ['route', 'replace', 'local', network, 'dev', 'lo'])
createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://sidecar')
  if (pathname !== '/stats/prometheus') return void response.writeHead(404).end()
  const seconds = 3_600 + (Date.now() - startedAt) / 1_000
  const place = placeOf(request.socket.localAddress ?? '')
  response.writeHead(200, { 'content-type': 'text/plain' }).end(sidecarText(place, searchParams, seconds))
}).listen(15_090, '0.0.0.0', () => console.log('listening'))

const removeRoute = () => execFileSync('ip', ['route', 'del', 'local', network, 'dev', 'lo'])
process.once('SIGTERM', () => {
  removeRoute()
  process.exit()
})
