// Asks one component whether it is well: a request, or for those that serve no such page a connection.
import { request as http } from 'node:http'
import { request as https } from 'node:https'
import { connect } from 'node:net'

const timeoutMs = 1000

/** True when the http(s) address answers 200, or the `unix:PATH` or `tcp:HOST:PORT` one accepts a connection. */
export async function healthy(address: string): Promise<boolean> {
  return address.startsWith('http') ? (await get(address)).status === 200 : accepts(address)
}

/** A request inside the mesh, whose certificates nobody signed; status 0 when there was no answer. */
export function get(url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve) => {
    const fail = (): void => resolve({ status: 0, body: '' })
    const options = { headers, timeout: timeoutMs, agent: false, rejectUnauthorized: false }
    const request = (url.startsWith('https') ? https : http)(url, options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', fail)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }))
    })
    request
      .on('timeout', () => request.destroy())
      .on('error', fail)
      .end()
  })
}

function accepts(address: string): Promise<boolean> {
  const [kind, ...rest] = address.split(':')
  const socket = kind === 'unix' ? connect(rest.join(':')) : connect(Number(rest[1]), rest[0])
  return new Promise((resolve) => {
    socket.setTimeout(timeoutMs, () => socket.destroy())
    socket.once('connect', () => (resolve(true), socket.destroy()))
    socket.once('error', () => resolve(false)).once('close', () => resolve(false))
  })
}
