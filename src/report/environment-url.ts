// Where users reach what a run has deployed. Pure.
import type { Config } from '../config/schema.ts'
import type { Report } from './report.ts'

/** The ingress of the cluster that `cluster` made, else the first exposed host that has a name; undefined without both. */
export function environmentUrl(
  { expose = {} }: Pick<Config, 'expose'>,
  { cluster }: Pick<Report, 'cluster'>,
): string | undefined {
  if (cluster?.ingress.http !== undefined) return `http://${cluster.ingress.http}`
  const named = Object.values(expose).flatMap(({ hosts, tls }) =>
    hosts.filter((host) => !host.includes('*')).map((host) => `${tls ? 'https' : 'http'}://${host}`),
  )
  return named[0]
}
