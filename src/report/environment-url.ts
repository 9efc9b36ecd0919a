// Where users reach what a run has deployed. Pure.
import type { Config } from '../config/schema.ts'
import { isLocalUrl } from '../runtime/local-address.ts'
import type { Report } from './report.ts'

/**
 * The address of Tyk, else the ingress of the cluster that `cluster` made, else the first exposed host that has a name;
 * undefined if there is none that others than this machine reach.
 */
export function environmentUrl(
  { edge, expose = {} }: Pick<Config, 'edge' | 'expose'>,
  { cluster }: Pick<Report, 'cluster'>,
): string | undefined {
  const ingress = cluster?.ingress.http
  const exposed = Object.values(expose).flatMap(({ hosts, tls }) =>
    hosts.filter((host) => !host.includes('*')).map((host) => `${tls ? 'https' : 'http'}://${host}`),
  )
  const all = edge?.tyk.enabled
    ? [urlOfTyk(edge.tyk)]
    : [...(ingress === undefined ? [] : [`http://${ingress}`]), ...exposed]
  return all.find((url) => !isLocalUrl(url))
}

function urlOfTyk({ url, domain, listenPath }: NonNullable<Config['edge']>['tyk']): string {
  const joined = `${url}${listenPath}`
  if (domain === undefined || !URL.canParse(joined)) return joined
  const address = new URL(joined)
  address.hostname = domain
  return address.href
}
