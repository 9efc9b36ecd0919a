// Checks whether a component is healthy, by a request, or by a connection if it serves no health page.
import { request as http } from 'node:http'
import { request as https } from 'node:https'
import { connect } from 'node:net'

const timeoutMs = 1000

/** True if the http(s) address answers 200, or the `unix:PATH` or `tcp:HOST:PORT` address accepts a connection. */
export async function healthy(address: string): Promise<boolean> {
  return address.startsWith('http') ? (await get(address)).status === 200 : accepts(address)
}

/** Sends a request without checking the certificate, which is self-signed. Without a response, the status is 0. */
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
