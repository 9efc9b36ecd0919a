// A mirror that serves an archive under a checksum of something else; told its port by the system, it prints it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const server = createServer((request, response) => response.end(request.url?.endsWith('.sha256') ? `${'0'.repeat(64)} archive\n` : 'not what the checksum says'))
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
