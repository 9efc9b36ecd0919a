// Counts what this process costs the API server and the machine, from when it is loaded.
import { subscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'

/** `bytes`: received. `peakBytes`: the largest resident set so far. */
export type Usage = { requests: number; bytes: number; cpuSeconds: number; peakBytes: number }
/** When a request began and ended (0: it has not), in ms, and what it was for. A watch is not listed. */
export type Activity = { from: number; to: number; path: string }

const sockets = new Set<Socket>()
export const activities: Activity[] = []
let requests = 0

subscribe('http.client.request.start', (message) => {
  const { request } = message as { request: ClientRequest }
  requests++
  if (request.socket) sockets.add(request.socket)
  if (request.path.includes('watch=')) return
  const activity = { from: performance.now(), to: 0, path: `${request.method} ${request.path}` }
  activities.push(activity)
  request.once('close', () => (activity.to = performance.now()))
})

export function usage(): Usage {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  return {
    requests,
    bytes: sockets.values().reduce((sum, { bytesRead }) => sum + bytesRead, 0),
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakBytes: maxRSS * 1024,
  }
}
