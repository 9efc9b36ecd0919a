// Which reports are about the same: the later one replaces the earlier. Pure.
import { createHash } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import { isLocalUrl } from '../runtime/local-address.ts'

/** `server`: the address of the cluster's API, if the run has reached one. `job`: the name of the CI job. */
export type Place = { server?: string | undefined; job?: string | undefined }

/** One for each config, namespace and cluster, or fleet. A run that reaches no cluster has one of its own. */
export function reportId({ identity, namespace, cluster, clusters }: Config, place: Place): string {
  const where = clusters ? fleetName(clusters) : placeName(cluster, place)
  return createHash('sha256').update(`${identity.owner}\n${namespace}\n${where}`).digest('hex').slice(0, 16)
}

/**
 * A cluster on the runner gets another port each time, and other runners have others of the same name. So it counts by
 * the job. A matrix over Kubernetes versions is one job on GitHub.
 */
function placeName(cluster: Config['cluster'], { server = '', job = '' }: Place): string {
  if (cluster) return ['kind', cluster.name, cluster.kubernetes, cluster.image, job].join(' ')
  return isLocalUrl(server) ? `local ${job}` : server
}

/** Known before a cluster is reached, and the same whichever of them can be. */
function fleetName(clusters: NonNullable<Config['clusters']>): string {
  const members = Object.entries(clusters).map(([name, { context = '' }]) => JSON.stringify([name, context]))
  return `fleet ${members.toSorted().join(' ')}`
}
