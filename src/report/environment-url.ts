// Where users reach what a run has deployed. Pure.
import type { Config } from '../config/schema.ts'
import type { Report } from './report.ts'

/** True if only this machine reaches it. `host`: with or without a port. */
export function isLoopback(host: string): boolean {
  return /^(127\.|localhost(:|$)|\[::1\])/.test(host)
}

/**
 * The address of Tyk, else the ingress of the cluster that `cluster` made, else the first exposed host that has a name; undefined if
 * there is none that others than this machine reach.
 */
export function environmentUrl(
  { edge, expose = {} }: Pick<Config, 'edge' | 'expose'>,
  { cluster }: Pick<Report, 'cluster'>,
): string | undefined {
  const ingress = cluster?.ingress.http
  const named = Object.values(expose).flatMap(({ hosts, tls }) =>
    hosts.filter((host) => !host.includes('*')).map((host) => `${tls ? 'https' : 'http'}://${host}`),
  )
  const all = [
    ...(edge?.tyk.enabled ? [ofTyk(edge.tyk)] : []),
    ...(ingress === undefined ? [] : [`http://${ingress}`]),
    ...named,
  ]
  return all.find((url) => !isLoopback(new URL(url).host))
}

/** Below the path of the address, as the proof asks for it. */
function ofTyk({ url, domain, listenPath }: NonNullable<Config['edge']>['tyk']): string {
  const address = new URL(url)
  if (domain !== undefined) address.hostname = domain
  return `${address.href.replace(/\/+$/, '')}${listenPath}`
}
