// The guard in the cluster: created before the first weight, deleted after the promotion, and why it has not started.
import type { Cluster } from '../../cluster/client.ts'
import { lacksRights } from '../../cluster/api-error.ts'
import type { Routed, Split } from '../../policies/routes.ts'
import type { KubeEvent, KubeObject, Pod } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { byTime } from '../../verify/events.ts'
import type { VersionSelectors } from '../workload/selectors.ts'
import { guardManifest } from './guard-manifest.ts'
import type { GuardSpec } from './guard-spec.ts'
import type { LeaseClaim } from './lease.ts'

/** `claim`: of the Lease to watch. `saved`: the routes to restore. `program`: the source text of the guard. */
export type GuardSettings = {
  split: Split
  plan: CanaryConfig
  claim: Pick<LeaseClaim, 'identity' | 'lease'>
  saved: Routed[]
  selectors: VersionSelectors
  program: string
}

/**
 * Creates the guard or, with `isUpdate`, tells a running guard of other routes: it reads its spec again before it writes.
 * @throws Error with the remedy when the API server refuses one of the objects.
 */
export async function applyGuard(
  cluster: Cluster,
  { split, plan: { guard, service }, claim: { identity, lease }, saved, selectors, program }: GuardSettings,
  isUpdate: boolean,
): Promise<void> {
  const spec: GuardSpec = {
    namespace: split.namespace,
    service,
    lease: lease.metadata.name,
    identity,
    afterMs: guard.after,
    split,
    selectors,
    saved,
  }
  await applyGuardObjects(cluster, service, guardManifest(spec, lease, program, guard), remedy, isUpdate)
}

const remedy: GuardRemedy = {
  rights: 'deploy/rbac/deliver.yaml',
  otherwise: ', or set `guard: off` and accept that the traffic stays as it is when the run is lost',
}

/** What to do if a guard cannot be created. `rights`: the file that has them. `otherwise`: how to do without a guard. */
export type GuardRemedy = { rights: string; otherwise: string }

/** `isUpdate`: only what a running guard reads again. @throws Error as `applyGuard` does. */
export async function applyGuardObjects(
  cluster: Cluster,
  service: string,
  objects: KubeObject[],
  remedy: GuardRemedy,
  isUpdate: boolean,
): Promise<void> {
  // The rights come before the spec that needs them.
  for (const object of isUpdate ? objects.filter(({ kind }) => ['Role', 'ConfigMap'].includes(kind)) : objects) {
    await cluster.apply(object, true).catch((problem: unknown) => {
      throw new Error(refusal(service, object, problem, remedy))
    })
  }
}

function refusal(
  service: string,
  { kind, metadata: { name } }: KubeObject,
  problem: unknown,
  { rights, otherwise }: GuardRemedy,
): string {
  const what = lacksRights(problem) ? `give the run the rights of ${rights}` : 'fix this'
  return `the guard of ${service} cannot be created (${kind} ${name}): ${messageOf(problem)}; ${what}${otherwise}`
}

export async function deleteGuard(cluster: Cluster, namespace: string, name: string): Promise<void> {
  // The rights of its account go last: until its Job is gone, the guard may still read the Lease.
  for (const kind of ['Job', 'RoleBinding', 'Role', 'ServiceAccount', 'ConfigMap'] as const)
    await cluster.remove(kind, namespace, name)
}

/** `gone`: no pod of it will ever run again. `down`: its Job has no running pod now. */
export type GuardState = 'running' | 'down' | 'gone'

export async function readGuardState(cluster: Cluster, namespace: string, name: string): Promise<GuardState> {
  const job = await cluster.get<Job>('Job', namespace, name)
  if (!job || job.metadata.deletionTimestamp !== undefined || job.status?.conditions?.some(isFinal)) return 'gone'
  return (job.status?.ready ?? 0) > 0 ? 'running' : 'down'
}

type Job = KubeObject & { status?: { ready?: number; conditions?: { type: string; status: string }[] } }

const isFinal = ({ type, status }: { type: string; status: string }) =>
  ['Failed', 'Complete', 'FailureTarget', 'SuccessCriteriaMet'].includes(type) && status === 'True'

/** Reads the cause from the guard's Job and pod, as a person would. `isOptional`: the run may do without a guard. */
export async function explainMissingGuard(
  cluster: Cluster,
  namespace: string,
  name: string,
  isOptional = true,
): Promise<string> {
  const refused = await refusalOfGuard(cluster, namespace, name)
  if (refused !== undefined) return `${refused}; ${refusalRemedy(refused, isOptional)}`
  const [pod] = await cluster.list<Pod>('Pod', namespace, { labelSelector: `batch.kubernetes.io/job-name=${name}` })
  if (pod) return explainPod(cluster, namespace, pod)
  const event = (await eventsOfJob(cluster, namespace, name)).at(-1)
  const job = await cluster.get<KubeObject>('Job', namespace, name)
  return event?.message ?? (job ? 'its Job has no pod' : 'its Job was deleted')
}

/**
 * What the API server says when it refuses the guard's pod for a rule of the namespace: a quota, a limit, its pod
 * security level, a policy webhook. Undefined if it does not, or if the account may not read events. What passes by
 * itself is no refusal: an account that is not known everywhere yet, a quota that is not counted yet, a webhook that
 * does not answer.
 */
export async function refusalOfGuard(cluster: Cluster, namespace: string, name: string): Promise<string | undefined> {
  const last = (await eventsOfJob(cluster, namespace, name)).findLast(
    ({ reason }) => reason === 'FailedCreate',
  )?.message
  const isRefusal = /forbidden|denied the request|is invalid/.test(last ?? '')
  const passes = /error looking up service account|status unknown for quota|failed calling webhook/.test(last ?? '')
  return isRefusal && !passes ? last : undefined
}

async function eventsOfJob(cluster: Cluster, namespace: string, name: string): Promise<KubeEvent[]> {
  const fieldSelector = `involvedObject.kind=Job,involvedObject.name=${name},type=Warning`
  return (await cluster.list<KubeEvent>('Event', namespace, { fieldSelector }).catch(() => [])).sort(byTime)
}

function refusalRemedy(message: string, isOptional: boolean): string {
  if (message.includes('exceeded quota') || message.includes('failed quota'))
    return 'free room in the quota, raise it, or lower `guard.resources`'
  return /(minimum|maximum) \S+ (usage|limit to request ratio)/.test(message)
    ? 'set `guard.resources` to what the LimitRange allows'
    : `change that rule of the namespace for the guard${isOptional ? ', or set `guard: off`' : ''}`
}

async function explainPod(cluster: Cluster, namespace: string, pod: Pod): Promise<string> {
  const log = (await cluster.log(namespace, pod.metadata.name, 'guard', 3).catch(() => '')).trim()
  const cause = await causeOf(cluster, pod).catch(() => '')
  const parts = [cause === 'the pod is ready' ? '' : cause, log === '' ? '' : `its log says: ${log}`].filter(Boolean)
  return parts.join('; ') || `its pod ${pod.metadata.name} gives no reason`
}
