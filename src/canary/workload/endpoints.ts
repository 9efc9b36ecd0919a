// Whether a version has endpoints: ready pods behind the Service that callers use.
import type { Cluster } from '../../cluster/client.ts'
import { matches, selectorText } from '../../cluster/labels.ts'
import type { Pod } from '../../cluster/objects.ts'
import { isLive, isReady } from '../../cluster/pods.ts'
import type { Split } from '../../policies/routes.ts'
import type { Labels, VersionSelectors } from './selectors.ts'

/** Stable has no endpoint, so traffic that moves there fails. A later attempt may succeed. */
export class StableOutage extends Error {
  override name = 'StableOutage'
}

export function hasEndpoint(pods: readonly Pod[], namespace: string, labels: Labels): boolean {
  return pods.some(
    (pod) =>
      pod.metadata.namespace === namespace && matches(labels, pod.metadata.labels) && isReady(pod) && isLive(pod),
  )
}

/** Why no traffic may move to stable. */
export function describeOutage({ namespace, service, stable }: Split): string {
  const name = stable.by === 'service' ? stable.name : service
  const pods = stable.by === 'service' ? 'no ready pod' : `no ready pod of ${stable.name}`
  return (
    `${pods} is behind the Service ${namespace}/${name}, so every request there would get a 503: ` +
    `scale ${stable.name} up, or repair its pods`
  )
}

/**
 * Why an automatic rollback has to wait; undefined if it need not. It must not take traffic from pods that answer and
 * send it to none. If neither version answers, the traffic waits for stable.
 */
export function rollbackObstacle(pods: readonly Pod[], split: Split, selectors: VersionSelectors): string | undefined {
  const { namespace } = split
  const mayMove = hasEndpoint(pods, namespace, selectors.stable) || !hasEndpoint(pods, namespace, selectors.canary)
  return mayMove ? undefined : describeOutage(split)
}

/** @throws StableOutage. If the pods cannot be read, stable is taken to serve: the canary is the one in doubt. */
export async function requireRollbackTarget(
  cluster: Cluster,
  split: Split,
  selectors: VersionSelectors,
): Promise<void> {
  const queries = [selectors.stable, selectors.canary].map((labels) => ({ labelSelector: selectorText(labels) }))
  const lists = queries.map((query) => cluster.list<Pod>('Pod', split.namespace, query))
  const pods = await Promise.all(lists).catch(() => undefined)
  const obstacle = pods && rollbackObstacle(pods.flat(), split, selectors)
  if (obstacle !== undefined) throw new StableOutage(obstacle)
}
