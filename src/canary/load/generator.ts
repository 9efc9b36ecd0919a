// Sends requests over given connections at a given rate.
import http from 'node:http'
import type { Duplex } from 'node:stream'

export type LoadGenerator = {
  /** Requests per second from now on. */
  setRate: (perSecond: number) => void
  /** Requests that got any response since the last call. */
  takeAnswered: () => number
  stop: () => void
}

const intervalMs = 50
const maxConcurrent = 64
const requestTimeoutMs = 10_000

/**
 * `connect` opens a connection to the gateway. Connections are kept alive. A request without a response does not count,
 * because the sidecars report failures.
 */
export function createLoadGenerator(
  connect: () => Promise<Duplex>,
  { host, path }: { host: string; path: string },
): LoadGenerator {
  const agent = agentOver(connect)
  let perSecond = 0
  let due = 0
  let inFlight = 0
  let answered = 0

  function send(): void {
    inFlight++
    const done = () => void inFlight--
    const headers = { host, 'user-agent': 'mesh-canary' }
    const request = http.get({ agent, path, headers, timeout: requestTimeoutMs }, (response) => {
      answered++
      response.resume().once('close', done)
    })
    request.once('error', done).once('timeout', () => request.destroy())
  }

  const timer = setInterval(() => {
    // At most the requests of one second wait to be sent.
    due = Math.min(due + (perSecond * intervalMs) / 1000, perSecond)
    for (; due >= 1 && inFlight < maxConcurrent; due--) send()
  }, intervalMs)

  return {
    setRate: (rate) => (perSecond = rate),
    takeAnswered: () => {
      const count = answered
      answered = 0
      return count
    },
    stop: () => {
      clearInterval(timer)
      agent.destroy()
    },
  }
}

function agentOver(connect: () => Promise<Duplex>): http.Agent {
  const agent = new http.Agent({ keepAlive: true, maxSockets: maxConcurrent })
  agent.createConnection = (_, done) => {
    connect().then(
      (stream) => done?.(null, stream),
      (error: unknown) => done?.(error as Error, undefined as unknown as Duplex),
    )
    return undefined
  }
  return agent
}
