// Checks from outside a promotion whether a canary without weight still serves, and explains why.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { keyOf, type Pod, systemNamespace } from '../../cluster/objects.ts'
import { hasRunningSidecar, isReady } from '../../mesh/sidecar.ts'
import { counterDeltas, type MetricNames, type Reading } from '../../metrics/counters.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { addRequests, noRequests } from '../analysis/request-counts.ts'
import { countServed } from '../metrics/request-outcomes.ts'
import { sidecarReader } from '../metrics/sidecars.ts'
import { readRoutes, readWeight } from '../traffic/router.ts'
import type { Split } from '../../policies/routes.ts'
import type { Labels } from '../workload/selectors.ts'
import { waitForDrain, type DrainResult, type SampleRequests } from './drain.ts'

/**
 * The data to sample a canary from outside its promotion. Plain data, because the main step passes it to the post step.
 */
export type DrainTarget = { labels: Labels; metrics: MetricNames; timeoutMs: number }

/** Why the canary still serves after the timeout; undefined if nothing shows that it does. */
export async function findUndrained(
  cluster: Cluster,
  split: Split,
  { labels, metrics, timeoutMs }: DrainTarget,
  note: (line: string) => void,
  clock: Clock = systemClock,
): Promise<string | undefined> {
  const sample = samplerOf(cluster, split.namespace, labels, metrics)
  const result = await waitForDrain(sample, { timeoutMs, perSecond: 0, isOver: () => false, clock, note })
  return result.kind === 'serving' ? explainServing(cluster, split, result) : undefined
}

/** Samples the counters of the pods with these labels. Without pods there are no requests: 0. */
function samplerOf(cluster: Cluster, namespace: string, labels: Labels, metrics: MetricNames): SampleRequests {
  const read = sidecarReader(cluster, metrics)
  let before: Map<string, Reading> | undefined
  return async () => {
    const pods = (await cluster.list<Pod>('Pod', namespace)).filter(
      (pod) => matches(labels, pod.metadata.labels) && hasRunningSidecar(pod),
    )
    const readings = await read(pods)
    const known = before
    before = new Map([...(known ?? []), ...readings])
    if (!known || readings.size < pods.length) return undefined
    return [...readings]
      .map(([id, reading]) => countServed(counterDeltas(known.get(id) ?? reading, reading), metrics))
      .reduce(addRequests, noRequests).requests
  }
}

/** Explains why the proxies do not follow the routes, as far as the cluster shows it. */
export async function explainServing(
  cluster: Cluster,
  split: Split,
  { perSecond, seconds }: Pick<Extract<DrainResult, { kind: 'serving' }>, 'perSecond' | 'seconds'>,
): Promise<string> {
  const routes = await readRoutes(cluster, split).catch(() => [])
  const where = routes.length > 0 ? routes.map(keyOf).join(', ') : 'the routes'
  const canary = `${split.canary.name} of ${split.service}`
  const serving = `${seconds} s later the proxies still send ${perSecond.toFixed(1)} requests/s to ${canary}`
  const weight = await readWeight(cluster, split).catch(() => 0)
  if (weight > 0)
    return (
      `weight 0 was written to ${where}, and ${serving}: someone has written ${weight} there since; ` +
      'find out who does (GitOps, another pipeline), and run the stage rollback again'
    )
  const restart = `kubectl -n ${systemNamespace} rollout restart deployment -l app=istiod`
  return (
    `weight 0 is in ${where}, and ${serving}: istiod has not told them (${await describeIstiod(cluster)}), ` +
    'or someone calls it without these routes. Check `istioctl proxy-status`: when proxies lag behind there, ' +
    `or istiod cannot watch the API server, run \`${restart}\``
  )
}

/** The state of istiod's pods, and their last log line about a failed watch. */
export async function describeIstiod(cluster: Cluster): Promise<string> {
  const pods = await cluster.list<Pod>('Pod', systemNamespace, { labelSelector: 'app=istiod' }).catch(() => undefined)
  if (!pods) return `this run cannot read its pods in ${systemNamespace}`
  if (pods.length === 0) return `none of its pods runs in ${systemNamespace}`
  return (await Promise.all(pods.map((pod) => describeIstiodPod(cluster, pod)))).join('; ')
}

async function describeIstiodPod(cluster: Cluster, pod: Pod): Promise<string> {
  const { name } = pod.metadata
  if (isReady(pod)) return `${name} is ready; ${await lastWatchError(cluster, name)}`
  return `${name}: ${await causeOf(cluster, pod).catch(messageOf)}`
}

async function lastWatchError(cluster: Cluster, pod: string): Promise<string> {
  const log = await cluster.log(systemNamespace, pod, 'discovery', 500).catch(() => undefined)
  if (log === undefined) return 'this run cannot read its log'
  const line = log.split('\n').findLast((each) => /\bwatch error\b|failed to (list|watch)/i.test(each))
  if (line === undefined) return 'its log shows no failed watch'
  return `its log says: ${line.replaceAll('\t', ' ').slice(0, 300)}`
}
