// A faulty mirror, with a path for each fault: `/bad-sum`, `/truncated`, `/busy`, `/away`, `/loop`, `/traversal`,
// `/slow`. It listens on a free port and prints it, then one line for each request. Its istioctl is a script.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

function archive(...args: string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-lies-'))
  writeFileSync(join(folder, 'istioctl'), '#!/bin/sh\necho a script\n', { mode: 0o755 })
  try {
    return execFileSync('tar', ['-C', folder, '-czPf', '-', 'istioctl', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const [good, upwards] = [archive(), archive('--transform=s,.*,../../../../tmp/mesh-canary-evil,')]
const sumOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
let busyResponses = 0

const faults: Record<
  string,
  { bytes?: Buffer; sum?: string; asset?: (response: ServerResponse, path: string) => unknown }
> = {
  'bad-sum': { sum: '0'.repeat(64) },
  truncated: { asset: (response) => response.end(good.subarray(0, good.length >> 1)) },
  busy: { asset: (response) => (++busyResponses <= 2 ? response.writeHead(500).end() : response.end(good)) },
  away: {
    asset: (response, path) =>
      response.writeHead(302, { location: `http://127.0.0.1:${portOf(storage)}${path}` }).end(),
  },
  loop: { asset: (response, path) => response.writeHead(302, { location: path }).end() },
  traversal: { bytes: upwards },
  slow: { asset: (response) => response.writeHead(200, { 'content-length': good.length }).write(good.subarray(0, 10)) },
}

const logged =
  (name: string, answer: RequestListener): RequestListener =>
  (request, response) => {
    console.log(
      `${name} ${request.url ?? ''} ${request.headers.authorization === undefined ? 'without' : 'with'} credentials`,
    )
    answer(request, response)
  }

const mirror = createServer(
  logged('mirror', ({ url: path = '' }, response) => {
    const { bytes = good, sum, asset } = faults[path.split('/')[1]!] ?? {}
    if (path.endsWith('.sha256')) response.end(`${sum ?? sumOf(bytes)} archive\n`)
    else if (asset) asset(response, path)
    else response.end(bytes)
  }),
)
const storage = createServer(logged('storage', (_, response) => response.end(good)))
const portOf = (server: Server) => (server.address() as AddressInfo).port

storage.listen(0, '127.0.0.1', () => mirror.listen(0, '127.0.0.1', () => console.log(portOf(mirror))))
