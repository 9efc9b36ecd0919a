// Tells the kubelet whether the guard reads its Lease. A guard without its rights or its network runs on, and would look like
// one that watches.
import { createServer, type Server } from 'node:http'
import { guardReadinessPort } from '../canary/ownership/guard-spec.ts'

/** It polls each second; a busy API server may answer late. */
const staleMs = 10_000

export type Readiness = { leaseRead: () => void; server: Server }

export function serveReadiness(
  log: (line: string) => void,
  now = () => performance.now(),
  port = guardReadinessPort,
): Readiness {
  let readAt = -Infinity
  const server = createServer((_, response) => response.writeHead(now() - readAt < staleMs ? 200 : 503).end())
  // The guard works without it; the run then takes it for one that is down.
  server.on('error', ({ message }) => log(`the guard cannot say whether it is ready: ${message}`))
  server.listen(port)
  return { leaseRead: () => void (readAt = now()), server }
}
