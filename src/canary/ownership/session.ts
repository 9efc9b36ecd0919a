// What lets a promotion outlive its run: the Lease with how far it is, the routes as they were, and the guard.
import { managedByLabel, manager } from '../../cluster/labels.ts'
import { guardName, guardManifest } from './guard-manifest.ts'
import { ApiError, type Cluster, emptyWhenAbsent } from '../../cluster/client.ts'
import type { ConfigMap, KubeEvent, KubeObject, Pod } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import { causeOf } from '../../verify/cause.ts'
import { claimLease, leaseName, ownerReference, type LeaseClaim, type SavedPromotion } from './lease.ts'
import { isHeldAsPlanned, type State } from '../state/machine.ts'
import { mapSteps } from '../state/steps.ts'
import { planHash } from '../workload/fingerprint.ts'
import { noRequests, type RequestCounts } from '../analysis/request-counts.ts'
import { readRoutes, type Routed, type Split } from '../traffic/router.ts'

/** Who holds, and with what: `run` is the run's address or name, `program` the guard's text, `hide` takes secrets out. */
export type SessionDeps = {
  run: string
  program: () => string
  redact: <T>(value: T) => T
  signal: AbortSignal
  note: (line: string) => void
}

export type LeaseSession = {
  identity: string
  /** How far an earlier run of the same canary by the same plan came. */
  resumedFrom: State | undefined
  /** The routes before the promotion. */
  savedRoutes: Routed[]
  isGuarded: () => boolean
  /** What keeps the guard from its duty. */
  explainMissingGuard: () => Promise<string>
  /** @throws Lost when the promotion is another's now. */
  renew: (state: State) => Promise<void>
  /** The guard goes; the Lease stays. */
  deleteGuard: () => Promise<void>
  /** Leaves it to a later run to go on from `state`. */
  release: (state: State) => Promise<void>
  /** All of it goes: it has come to its end. */
  end: () => Promise<void>
}

/** @throws Error when another run has it, or when there can be no guard; nothing is then left behind. */
export async function openSession(
  cluster: Cluster,
  split: Split,
  plan: CanaryConfig,
  template: string,
  holder: SessionDeps,
): Promise<LeaseSession> {
  const { namespace, service } = split
  const { guard, leaseWaitTimeout } = plan
  const claimed = await claimLease(cluster, {
    namespace,
    service,
    run: holder.run,
    leaseMs: guard.after,
    waitMs: leaseWaitTimeout,
    signal: holder.signal,
    note: holder.note,
  }).catch(withRemedy)
  const of = { version: 2, plan: planHash(plan), template, run: holder.run } as const
  const left = claimed.before
  const goesOn =
    left?.plan === of.plan &&
    left.template === template &&
    (left.state.phase !== 'ended' || isHeldAsPlanned(left.state))
  const before = goesOn ? left : undefined
  try {
    const saved = await routesBefore(cluster, split, claimed, before !== undefined)
    if (guard.enabled) await createGuard(cluster, split, plan, claimed, saved, holder.program())
    else
      holder.note(
        `${service}: there is no guard (\`guard: off\`): should this run be lost, the traffic stays as it then is`,
      )
    const record = (state: State): SavedPromotion =>
      holder.redact({ ...of, savedAt: new Date().toISOString(), state: compact(state) })
    const name = guardName(service, claimed.identity)
    return {
      identity: claimed.identity,
      resumedFrom: before?.state,
      savedRoutes: saved,
      isGuarded: () => !guard.enabled || claimed.guarded(),
      explainMissingGuard: () => explainMissingGuard(cluster, namespace, name),
      renew: (state) => claimed.renew(record(state)),
      deleteGuard: () => deleteGuard(cluster, namespace, name),
      release: async (state) => {
        await claimed.release(record(state))
        await deleteGuard(cluster, namespace, name)
      },
      end: claimed.end,
    }
  } catch (problem) {
    // What an earlier run left is not lost by this one's failure to begin.
    await (before ? claimed.release(before) : claimed.end()).catch(() => undefined)
    throw problem
  }
}

function withRemedy(problem: unknown): never {
  if (!(problem instanceof ApiError) || problem.status !== 403) throw problem
  throw new Error(
    `canary: the promotion cannot be held by a Lease: ${problem.message}; give the run the rights of deploy/rbac/deliver.yaml`,
  )
}

/** Nobody asks a step for its times, and an annotation is to hold a hundred steps. */
function compact(state: State): State {
  const bare = (served: RequestCounts): RequestCounts => ({ ...served, times: noRequests.times })
  return mapSteps(state, (step) => ({ ...step, canary: bare(step.canary), stable: bare(step.stable) }))
}

/** As an earlier run saved them, when this one goes on from it; else as they are now. */
async function routesBefore(
  cluster: Cluster,
  split: Split,
  { lease }: LeaseClaim,
  resumed: boolean,
): Promise<Routed[]> {
  const { namespace, service } = split
  const name = leaseName(service)
  const kept = resumed ? await readSavedRoutes(cluster, namespace, service) : []
  if (kept.length > 0) return kept
  const routes = (await readRoutes(cluster, split)).map((object) => {
    const { name, labels = {}, annotations = {} } = object.metadata
    return { ...object, metadata: { name, namespace, labels, annotations } }
  })
  await cluster.apply<ConfigMap>(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels: { [managedByLabel]: manager }, ownerReferences: [ownerReference(lease)] },
      data: { 'routes.json': JSON.stringify(routes) },
    },
    true,
  )
  return routes
}

/** The routes before the promotion that is under way, or was left; none when there is none. */
export async function readSavedRoutes(cluster: Cluster, namespace: string, service: string): Promise<Routed[]> {
  const text = (await cluster.get<ConfigMap>('ConfigMap', namespace, leaseName(service)))?.data?.['routes.json']
  return text === undefined ? [] : (JSON.parse(text) as Routed[])
}

async function createGuard(
  cluster: Cluster,
  split: Split,
  { guard, service }: CanaryConfig,
  { identity, lease }: LeaseClaim,
  saved: Routed[],
  program: string,
): Promise<void> {
  const orders = {
    namespace: split.namespace,
    service,
    lease: lease.metadata.name,
    identity,
    afterMs: guard.after,
    split,
    saved,
  }
  for (const object of guardManifest(orders, lease, program, guard)) {
    await cluster.apply(object, true).catch((problem: unknown) => {
      const why = messageOf(problem)
      const remedy =
        problem instanceof ApiError && problem.status === 403
          ? 'give the run the rights of deploy/rbac/deliver.yaml'
          : 'mend that'
      throw new Error(
        `canary.guard: the guard of ${service} cannot be created (${object.kind} ${object.metadata.name}): ${why}; ${remedy}, or set \`guard: off\` and accept that the traffic stays as it is when the run is lost`,
      )
    })
  }
}

/** Takes the guard away. */
export async function deleteGuard(cluster: Cluster, namespace: string, name: string): Promise<void> {
  // The account's rights go last: until its Job is gone the guard may still look.
  for (const kind of ['Job', 'RoleBinding', 'Role', 'ServiceAccount', 'ConfigMap'] as const)
    await cluster.remove(kind, namespace, name)
}

/** What a person would find at the guard's Job and pod. */
async function explainMissingGuard(cluster: Cluster, namespace: string, name: string): Promise<string> {
  const [pod] = await cluster.list<Pod>('Pod', namespace, { labelSelector: `batch.kubernetes.io/job-name=${name}` })
  if (pod) {
    const log = await cluster.log(namespace, pod.metadata.name, 'guard', 3).catch(() => '')
    const cause = await causeOf(cluster, pod).catch(() => '')
    return (
      [cause === 'the pod is ready' ? '' : cause, log.trim()].filter(Boolean).join('; its log says: ') ||
      `its pod ${pod.metadata.name} says nothing`
    )
  }
  const events = await cluster
    .list<KubeEvent>('Event', namespace, { fieldSelector: `involvedObject.name=${name},type=Warning` })
    .catch(emptyWhenAbsent)
  const job = await cluster.get<KubeObject>('Job', namespace, name)
  return events.at(-1)?.message ?? (job ? 'its Job has made no pod' : 'its Job is gone')
}
