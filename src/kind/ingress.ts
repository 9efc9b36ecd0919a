// Checks that this machine reaches an exposed host through the mapped port and the ingress gateway.
import { request } from 'node:http'
import type { Config } from '../config/schema.ts'
import { poll } from '../runtime/retry.ts'

/** The hosts for which the ingress gateway answers plain HTTP, even if only with a redirect. */
export function plainHosts({ expose = {} }: Config): string[] {
  const plain = Object.values(expose).filter(
    ({ api, gateway, tls, httpsRedirect }) =>
      api === 'istio' && gateway === 'ingressgateway' && (!tls || httpsRedirect !== false),
  )
  return plain.flatMap(({ hosts }) => hosts)
}

/**
 * Waits for any response. Returns undefined if one comes in time, otherwise the last problem. `address`: `host:port`.
 */
export function unreachableIngress(
  address: string,
  host: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const request = () => problemOf(address, host.replace('*', 'any'), signal)
  return poll(request, (problem) => problem === undefined, { limitMs: waitMs, intervalMs: 500, signal })
}

function problemOf(address: string, host: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const call = request(
      `http://${address}/`,
      { headers: { host }, agent: false, timeout: 5_000, signal },
      (response) => {
        response.destroy()
        resolve(undefined)
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer within 5 s')))
    call.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    call.end()
  })
}
