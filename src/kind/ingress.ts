// Whether what is exposed is reached from this machine: the whole way, through the mapped port and the gateway.
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/schema.ts'

/** The hosts that the ingress gateway answers plain HTTP for, with a redirect at least. */
export function plainHosts({ expose = {} }: Config): string[] {
  const plain = Object.values(expose).filter(
    ({ api, gateway, tls, httpsRedirect }) =>
      api === 'istio' && gateway === 'ingressgateway' && (!tls || httpsRedirect !== false),
  )
  return plain.flatMap(({ hosts }) => hosts)
}

/** Undefined once anything answers there, whatever it says; else why not, when the time is over. `address`: `host:port`. */
export async function unreachableIngress(
  address: string,
  host: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const until = Date.now() + waitMs
  for (;;) {
    const problem = await once(address, host.replace('*', 'any'), signal)
    if (problem === undefined || Date.now() >= until) return problem
    await sleep(500, undefined, { signal })
  }
}

function once(address: string, host: string, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asking = request(
      `http://${address}/`,
      { headers: { host }, agent: false, timeout: 5_000, signal },
      (response) => {
        response.destroy()
        resolve(undefined)
      },
    )
    asking.on('timeout', () => asking.destroy(new Error('no answer within 5 s')))
    asking.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    asking.end()
  })
}
