// Whether the proxies have followed: what the canary still serves once its weight is 0 in the routes. The write alone makes
// nobody safe: istiod has to hear of it, and may do so a minute late when its watches were refused for some time.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { keyOf, type Pod, systemNamespace } from '../../cluster/objects.ts'
import { hasRunningSidecar, isReady } from '../../mesh/sidecar.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { monotonicNow } from '../../runtime/clock.ts'
import { counterDeltas, type MetricNames, type Reading } from '../../metrics/counters.ts'
import { countServed } from '../metrics/request-outcomes.ts'
import { sidecarReader } from '../metrics/sidecars.ts'
import type { Labels } from '../workload/selectors.ts'
import { noRequests, addRequests } from '../analysis/request-counts.ts'
import { readRoutes, readWeight, type Split } from '../traffic/router.ts'

/** Requests that the canary served since the look before; undefined when not all of its sidecars answered. */
export type SampleRequests = () => Promise<number | undefined>

/** `perSecond`: what the canary serves as a rule, so that a pause is not taken for the end; `over`: nobody waits any more. */
export type DrainOptions = { timeoutMs: number; perSecond: number; over: () => boolean; note: (line: string) => void }

/** Seconds until its last request; or what it still gets when the progressDeadline is over; or nothing, when nobody can tell. */
export type DrainResult = { secondsToSafe?: number; still?: { perSecond: number; seconds: number } }

const sampleMs = 500
/** How long a canary that is not seen to serve, nor to be quiet, is watched. */
const unconfirmedMs = 10_000
/** In at most so many promotions a pause among late requests is taken for their end. */
const alpha = 0.01

/**
 * How long a silence has to be so that requests which come by chance, `perSecond` of them, have none so long in all the time
 * that they are waited for: pauses of T begin perSecond·e^(−perSecond·T) times a second. One of 9.5 s has to do in any case.
 */
function silenceFor(perSecond: number, patienceMs: number): number {
  const needed = perSecond === 0 ? 0 : (1_000 * Math.log((perSecond * patienceMs) / 1_000 / alpha)) / perSecond
  return Math.min(unconfirmedMs - sampleMs, Math.max(2 * sampleMs, needed))
}

/** Watched for 10 s, and for the whole progressDeadline as long as the canary is seen to serve. */
export async function waitForDrain(
  glance: SampleRequests,
  { timeoutMs, perSecond, over, note }: DrainOptions,
): Promise<DrainResult> {
  const from = monotonicNow()
  const after = () => monotonicNow() - from
  let [total, servedAt, silences, told] = [0, from, 0, false]
  while (!over() && monotonicNow() - servedAt < unconfirmedMs && after() < Math.max(timeoutMs, unconfirmedMs)) {
    await sleep(sampleMs)
    const requests = await glance().catch(() => undefined)
    if (requests === undefined) continue
    total += requests
    silences = requests === 0 ? silences + 1 : 0
    if (requests > 0) servedAt = monotonicNow()
    if (
      silences >= 2 &&
      monotonicNow() - servedAt >= silenceFor(Math.max(perSecond, rate(total, after())), timeoutMs)
    ) {
      const secondsToSafe = (servedAt - from) / 1_000
      note(`the canary serves nothing any more, ${secondsToSafe.toFixed(1)} s after the weight was put back`)
      return { secondsToSafe }
    }
    if (!told && after() >= unconfirmedMs)
      note(
        `weight 0 is written, and the canary still serves ${rate(total, after()).toFixed(1)} requests/s: the proxies are waited for (\`progressDeadline\`)`,
      )
    told ||= after() >= unconfirmedMs
  }
  const seconds = Math.round(after() / 1_000)
  const isServing = total > 0 && monotonicNow() - servedAt < unconfirmedMs
  if (isServing && !over()) return { still: { perSecond: rate(total, after()), seconds } }
  note(
    `${seconds} s after its weight was set to 0 the canary was not seen to be quiet: ${over() ? 'it is not waited for any longer' : 'its sidecars do not answer'}`,
  )
  return {}
}

const rate = (requests: number, ms: number) => (1_000 * requests) / ms

/** What is needed to look at a canary from outside its promotion. Plain, for it is handed to the post step. */
export type DrainTarget = { labels: Labels; metrics: MetricNames; timeoutMs: number }

/** What a person would have to know, where the canary still serves when the progressDeadline is over; undefined where nothing shows that it does. */
export async function findUndrained(
  cluster: Cluster,
  split: Split,
  { labels, metrics, timeoutMs }: DrainTarget,
  note: (line: string) => void,
): Promise<string | undefined> {
  const { still } = await waitForDrain(samplerOf(cluster, split.namespace, labels, metrics), {
    timeoutMs,
    perSecond: 0,
    over: () => false,
    note,
  })
  return still && explainServing(cluster, split, still)
}

/** By the counters of the pods with these labels; 0 where there are none, for then nobody serves. */
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

/** What a person would find who asks why the proxies have not followed. */
export async function explainServing(
  cluster: Cluster,
  split: Split,
  { perSecond, seconds }: NonNullable<DrainResult['still']>,
): Promise<string> {
  const routes = await readRoutes(cluster, split).catch(() => [])
  const where = routes.length > 0 ? routes.map(keyOf).join(', ') : 'the routes'
  const serving = `${seconds} s later the proxies still send ${perSecond.toFixed(1)} requests/s to ${split.canary.name} of ${split.service}`
  const again = await readWeight(cluster, split).catch(() => 0)
  if (again > 0)
    return `weight 0 was written to ${where}, and ${serving}: somebody has written ${again} there since; see who does (GitOps, another pipeline), and run the stage rollback again`
  return `weight 0 is in ${where}, and ${serving}: istiod has not told them (${await istiod(cluster)}), or somebody calls it other than by these routes. Look at \`istioctl proxy-status\`; proxies that are behind there, or an istiod that cannot watch the API server, mend with \`kubectl -n ${systemNamespace} rollout restart deployment -l app=istiod\``
}

/** How istiod's pods are, and the last that it said of the API server. */
async function istiod(cluster: Cluster): Promise<string> {
  const pods = await cluster.list<Pod>('Pod', systemNamespace, { labelSelector: 'app=istiod' }).catch(() => undefined)
  if (!pods) return `its pods in ${systemNamespace} cannot be read by this run`
  if (pods.length === 0) return `no pod of it runs in ${systemNamespace}`
  return (
    await Promise.all(
      pods.map(
        async (pod) =>
          `${pod.metadata.name}${isReady(pod) ? ` is ready; ${await lastWatchError(cluster, pod)}` : `: ${await causeOf(cluster, pod).catch(messageOf)}`}`,
      ),
    )
  ).join('; ')
}

async function lastWatchError(cluster: Cluster, { metadata: { name } }: Pod): Promise<string> {
  const log = await cluster.log(systemNamespace, name, 'discovery', 500).catch(() => undefined)
  if (log === undefined) return 'its log cannot be read by this run'
  const line = log.split('\n').findLast((each) => /\bwatch error\b|failed to (list|watch)/i.test(each))
  return line === undefined
    ? 'its log tells of no failed watch'
    : `its log says: ${line.replaceAll('\t', ' ').slice(0, 300)}`
}
