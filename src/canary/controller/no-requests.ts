// Looks up why no request reached the canary: the ports of the Service, the sidecars and what they count, and the
// callers.
import type { Cluster } from '../../cluster/client.ts'
import { emptyWhenUnread } from '../../cluster/api-error.ts'
import { systemNamespace, titleOf, type KubeObject, type Pod, type Service } from '../../cluster/objects.ts'
import { isLive } from '../../cluster/pods.ts'
import { hasRunningSidecar, hasSidecar, meshIdOf, sidecarRevision } from '../../mesh/sidecar.ts'
import { labelsOf } from '../../envoy/counters.ts'
import { hostOf } from '../../policies/compile/names.ts'
import type { Split } from '../../policies/routes.ts'
import type { LimitCounts } from '../analysis/request-counts.ts'
import { roleOf, type Role } from '../metrics/pod-roles.ts'
import type { State } from '../state/types.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { headlessFault, protocolFault, unnamedProtocol } from '../workload/service-faults.ts'
import { currentObjects, type PromotionContext } from './context.ts'
import { describeIstiod } from './undrained.ts'

/** `published`: the counters of some sidecars. The counts are those of the step, or of the promotion for the callers. */
type Facts = {
  plan: CanaryConfig
  split: Split
  service: Service | undefined
  pods: Record<Role, Pod[]>
  telemetries: Telemetry[]
  published: string[]
  stableRequests: number
  callerRequests: number
  unserved: LimitCounts
  /** The canary's, in per cent; undefined in a step that is not about the weight. */
  weight: number | undefined
}
type Telemetry = KubeObject & {
  spec?: { metrics?: { overrides?: { disabled?: boolean; tagOverrides?: Record<string, { operation?: string }> }[] }[] }
}

/** How many sidecars are asked what they count. */
const askedSidecars = 10

/** What happens more rarely is not taken for chance. */
const plausibleChance = 0.001

/** One clause, as far as the cluster shows the cause. */
export async function explainNoRequests(context: PromotionContext, state: State): Promise<string | undefined> {
  const facts = await readFacts(context, state)
  const causes = [
    unservedCause,
    serviceCause,
    sidecarCause,
    counterCause,
    callerCause,
    servedCause,
    revisionCause,
    fewRequestsCause,
  ]
  for (const cause of causes) {
    const found = cause(facts)
    if (found !== undefined) return found
  }
  return staleRouteCause(context.cluster, facts)
}

async function readFacts(context: PromotionContext, state: State): Promise<Facts> {
  const { cluster, plan, split, selectors, watched } = context
  const { namespace, service } = split
  const all = currentObjects(watched.pods).filter(isLive)
  const { canary = [], stable = [], client = [] } = Object.groupBy(all, (pod) => roleOf(pod, selectors, namespace))
  const asked = [...stable, ...client, ...canary].filter(hasRunningSidecar).slice(0, askedSidecars)
  const [object, published, ...telemetries] = await Promise.all([
    cluster.get<Service>('Service', namespace, service),
    Promise.all(asked.map((pod) => readCounters(cluster, pod))),
    ...[namespace, systemNamespace].map((place) => cluster.list<Telemetry>('Telemetry', place).catch(emptyWhenUnread)),
  ])
  const step = state.steps.at(-1)
  return {
    plan,
    split,
    service: object,
    pods: { canary, stable, client },
    telemetries: telemetries.flat(),
    published: published.flat(),
    stableRequests: step?.stable.requests ?? 0,
    callerRequests: state.users.requests,
    unserved: state.unserved.counts,
    weight: step?.kind === 'weight' ? step.weight : undefined,
  }
}

/** The series of request counters, whatever they are called. */
async function readCounters(cluster: Cluster, { metadata }: Pod): Promise<string[]> {
  const { namespace = '', name } = metadata
  const text = await cluster
    .pod(namespace, name, 15090, '/stats/prometheus?usedonly&filter=istio', 3_000)
    .catch(() => '')
  return text.split('\n').filter((line) => /^\w*requests_total\{/.test(line))
}

function unservedCause({ unserved }: Facts): string | undefined {
  if (unserved.violations === 0) return undefined
  return (
    `${unserved.violations} requests of users failed before they reached any version (no endpoint, no route or no ` +
    'connection)'
  )
}

function serviceCause({ service, plan, callerRequests, stableRequests }: Facts): string | undefined {
  if (!service) return 'the Service does not exist any more'
  const isCounted = callerRequests > 0 && stableRequests > 0
  const [fault] = [...headlessFault(service, plan), ...(isCounted ? [] : protocolFault(service, plan))]
  return fault ?? (isCounted ? undefined : unnamedProtocol(service))
}

function sidecarCause({ pods: { canary }, plan }: Facts): string | undefined {
  const without = canary.filter((pod) => !hasSidecar(pod)).map(({ metadata }) => metadata.name)
  if (without.length === 0) return undefined
  return (
    `${without.join(', ')} of ${plan.canary.name} has no sidecar, which would count its requests; ` +
    'list its workload under `workloads`, or restart it in a namespace with injection'
  )
}

function counterCause({ published, telemetries, plan, callerRequests, stableRequests }: Facts): string | undefined {
  if (callerRequests + stableRequests > 0) return undefined
  const wanted = published.filter((series) => series.startsWith(`${plan.metrics.requests}{`))
  const other = published.find((series) => !wanted.includes(series))?.replace(/\{.*/, '')
  if (wanted.length === 0 && other !== undefined)
    return (
      `no sidecar publishes ${plan.metrics.requests}, but they publish ${other}; ` +
      `set \`metrics.requests: ${other}\`, and \`duration\` accordingly`
    )
  if (wanted.length > 0 && wanted.every((series) => labelsOf(series)['reporter'] === undefined))
    return `the counters ${plan.metrics.requests} lack the label reporter; let the Telemetry keep its tag`
  const disabling = telemetries.find(disablesCounters)
  return disabling && `the ${titleOf(disabling)} switches counters or their tags off; keep them for this namespace`
}

function disablesCounters({ spec }: Telemetry): boolean {
  const overrides = (spec?.metrics ?? []).flatMap((each) => each.overrides ?? [])
  return overrides.some(
    ({ disabled, tagOverrides = {} }) =>
      disabled === true || Object.values(tagOverrides).some(({ operation }) => operation === 'REMOVE'),
  )
}

function callerCause({ pods: { client }, plan, split, callerRequests, stableRequests }: Facts): string | undefined {
  if (callerRequests > 0) return undefined
  const places = [split.namespace, ...(plan.clients ?? [])].join(', ')
  const callers = client.filter(hasRunningSidecar)
  const inMesh =
    callers.length === 0
      ? `no other pod in ${places} has a sidecar`
      : `no sidecar of another pod in ${places} (${callers.length}) counted a request to ${plan.service}`
  const remedy = 'name the namespaces of the callers in `clients`, give the callers sidecars, or generate `load`'
  if (stableRequests === 0)
    return `${inMesh}, and ${plan.stable.name} served none either: nobody in the mesh calls it; ${remedy}`
  return (
    `${plan.stable.name} served ${stableRequests} requests, but ${inMesh}: only callers with a sidecar follow the ` +
    `weights; ${remedy}`
  )
}

/** The callers count requests that no sidecar of either version counts. */
function servedCause({
  pods: { stable },
  plan,
  split,
  published,
  callerRequests,
  stableRequests,
}: Facts): string | undefined {
  if (callerRequests === 0 || stableRequests > 0) return undefined
  const host = hostOf(split.service, split.namespace)
  const named = published
    .map(labelsOf)
    .filter((labels) => labels['reporter'] === 'source' && labels['destination_service'] === host)
    .map(({ destination_version: version = 'unknown' }) => version)
  const versions = [...new Set(named)].join(', ') || 'unknown'
  const without = stable.filter((pod) => !hasSidecar(pod)).map(({ metadata }) => metadata.name)
  const remedy =
    without.length > 0
      ? `${without.join(', ')} has no sidecar`
      : 'look at the labels of the pods that answer, and that their sidecars count requests as destination'
  return (
    `the callers counted ${callerRequests} requests (destination_version ${versions}), but no sidecar of ` +
    `${plan.stable.name} or ${plan.canary.name} counted one: ${remedy}`
  )
}

function revisionCause({ pods: { canary, client }, plan }: Facts): string | undefined {
  const callers = client.filter(hasRunningSidecar)
  return (
    difference(callers, canary, plan, 'of the mesh', meshIdOf) ??
    difference(callers, canary, plan, 'of the revision', sidecarRevision)
  )
}

/** Callers of another control plane or mesh may not get this one's routes. */
function difference(
  callers: Pod[],
  canary: Pod[],
  plan: CanaryConfig,
  what: string,
  of: (pod: Pod) => string | undefined,
): string | undefined {
  const own = new Set(canary.flatMap((pod) => of(pod) ?? []))
  const others = callers.filter((pod) => of(pod) !== undefined && !own.has(of(pod)!))
  if (own.size === 0 || others.length < callers.length || callers.length === 0) return undefined
  const names = [...new Set(others.map((pod) => of(pod)))].join(', ')
  return (
    `the sidecars of the callers are ${what} ${names}, but those of ${plan.canary.name} ${what} ${[...own].join(', ')}: ` +
    'restart the callers, so that they get the same routes'
  )
}

/** At a small weight, the first requests may all go to stable by chance, and then nothing is wrong with the route. */
function fewRequestsCause({ plan, callerRequests, stableRequests, weight }: Facts): string | undefined {
  if (weight === undefined || stableRequests === 0 || callerRequests === 0) return undefined
  const chance = (1 - weight / 100) ** stableRequests
  if (chance < plausibleChance) return undefined
  return (
    `the ${stableRequests} requests of this step all went to ${plan.stable.name}, which at weight ${weight} happens by ` +
    `chance in ${Number((100 * chance).toPrecision(2))}% of such steps: too few to tell whether the callers follow the ` +
    'weight; lengthen `progressDeadline`, or let `load` add requests'
  )
}

/** The callers call, and all that they send goes to stable. */
async function staleRouteCause(
  cluster: Cluster,
  { plan, callerRequests, stableRequests }: Facts,
): Promise<string | undefined> {
  if (stableRequests === 0 || callerRequests === 0) return undefined
  return (
    `all ${stableRequests} requests went to ${plan.stable.name}: the callers' sidecars have not received the route, or ` +
    `another route is in front of it (${await describeIstiod(cluster)}); see \`istioctl proxy-status\``
  )
}
