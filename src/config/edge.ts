// What the section `edge` leads to. Pure.
import type { Config, Exposure } from './schema.ts'

/** The exposed service that Tyk leads to; undefined if it is not settled. */
export function exposedThroughTyk({
  edge,
  expose = {},
}: Pick<Config, 'edge' | 'expose'>): { service: string; exposure: Exposure } | undefined {
  const names = Object.keys(expose)
  const service = edge?.tyk.service ?? (names.length === 1 ? names[0] : undefined)
  const exposure = service === undefined ? undefined : expose[service]
  return service === undefined || exposure === undefined ? undefined : { service, exposure }
}

/** The address of the ingress gateway for Tyk; undefined if only the user can know it. */
export function tykTarget(config: Pick<Config, 'edge' | 'expose'>): string | undefined {
  const { target } = config.edge!.tyk
  if (target !== undefined) return target
  const { exposure } = exposedThroughTyk(config) ?? {}
  if (exposure?.api !== 'istio' || exposure.gateway !== 'ingressgateway') return undefined
  return exposure.tls && exposure.httpsRedirect !== false
    ? undefined
    : 'http://istio-ingressgateway.istio-system.svc.cluster.local'
}

/** The host name that users ask for, which arrives at the ingress gateway. */
export function tykHost(config: Pick<Config, 'edge' | 'expose'>): string {
  const { domain, url } = config.edge!.tyk
  const named = exposedThroughTyk(config)?.exposure.hosts.find((host) => !host.includes('*'))
  return domain ?? named ?? new URL(url).hostname
}
