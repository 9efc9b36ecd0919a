// Requests of our own through the ingress gateway, for a service whose users send too few to judge by.
import http from 'node:http'
import type { Duplex } from 'node:stream'

export type LoadGenerator = {
  /** Requests a second from now on. */
  rate: (perSecond: number) => void
  /** Requests answered since the last time this was asked, whatever the answer. */
  answered: () => number
  stop: () => void
}

const beatMs = 50
const mostAtOnce = 64

/** `connect` opens a connection to the gateway; connections are kept alive. A request that gets no answer is only not counted: what failed is told by the sidecars. */
export function createLoadGenerator(
  connect: () => Promise<Duplex>,
  { host, path }: { host: string; path: string },
): LoadGenerator {
  const agent = new http.Agent({ keepAlive: true, maxSockets: mostAtOnce })
  agent.createConnection = (_, done) => {
    connect().then(
      (stream) => done?.(null, stream),
      (error: unknown) => done?.(error as Error, undefined as unknown as Duplex),
    )
    return undefined
  }
  let perSecond = 0
  let owed = 0
  let underWay = 0
  let answers = 0

  function send(): void {
    underWay++
    const done = () => void underWay--
    const request = http.get(
      { agent, path, headers: { host, 'user-agent': 'mesh-canary' }, timeout: 10_000 },
      (response) => {
        answers++
        response.resume().once('close', done)
      },
    )
    request.once('error', done).once('timeout', () => request.destroy())
  }

  const beat = setInterval(() => {
    owed = Math.min(owed + (perSecond * beatMs) / 1000, perSecond)
    for (; owed >= 1 && underWay < mostAtOnce; owed--) send()
  }, beatMs)

  return {
    rate: (wanted) => (perSecond = wanted),
    answered: () => {
      const now = answers
      answers = 0
      return now
    },
    stop: () => {
      clearInterval(beat)
      agent.destroy()
    },
  }
}

/**
 * What is to be added, per second, so that the canary gets `needed` requests in a step of `forMs` at `weight` per cent,
 * where `seconds` of the users' traffic brought `seen` requests to both versions. At most `most`.
 */
export function missingRate(
  needed: number,
  weight: number,
  forMs: number,
  seen: number,
  seconds: number,
  most: number,
): number {
  if (weight === 0) return 0
  const wanted = needed / (forMs / 1000) / (weight / 100)
  return Math.min(most, Math.max(0, Math.ceil(wanted - (seconds === 0 ? 0 : seen / seconds))))
}
