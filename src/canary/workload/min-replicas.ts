// Keeps the HorizontalPodAutoscaler of stable from scaling it down while a canary has its traffic, because all of it may
// return at once. An annotation records the minimum that the autoscaler had, so that a later run can give it back.
import { isConflict, lacksRights } from '../../cluster/api-error.ts'
import { autoscalerOf, listAutoscalers } from '../../cluster/autoscalers.ts'
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { HorizontalPodAutoscaler, Service, Workload } from '../../cluster/objects.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import { poll, retry } from '../../runtime/retry.ts'

const kind = 'HorizontalPodAutoscaler'

/**
 * Raises the minimum of the Deployment's autoscaler to so many replicas, or to its maximum if that is less, and returns
 * the smaller of both. Undefined if the Deployment has no autoscaler. @throws Error if the account may not write it
 */
export async function raiseMinReplicas(
  cluster: Cluster,
  service: string,
  deployment: Workload,
  replicas: number,
  { note, clock }: Pick<AutoscalerDeps, 'note' | 'clock'>,
): Promise<number | undefined> {
  return untilWritten(clock, async () => {
    const found = await autoscalerOf(cluster, deployment)
    if (!found) return undefined
    const to = Math.min(replicas, found.spec.maxReplicas ?? replicas)
    if (minimumOf(found) >= to) return to
    await write(cluster, found, to, { service, from: ownMinimum(found), to }).catch((error: unknown) => {
      throw lacksRights(error) ? new Error(explainRefusal(found, to, error)) : error
    })
    note(`${kindAndName(found)}: minReplicas ${minimumOf(found)} → ${to}, until stable has all the traffic again`)
    return to
  })
}

/** `note`: says what was written. `warn`: says what was left as it is. */
export type AutoscalerDeps = {
  note: (line: string) => void
  warn: (line: string) => void
  signal: AbortSignal
  clock: Clock
}

/**
 * Waits until so many pods are ready: an autoscaler or a person may set another number.
 * @throws Error if they are not ready in time
 */
export async function waitForReplicas(
  cluster: Cluster,
  deployment: Workload,
  replicas: number,
  { timeoutMs, signal, clock }: Pick<AutoscalerDeps, 'signal' | 'clock'> & { timeoutMs: number },
): Promise<void> {
  const { namespace, name } = deployment.metadata
  const available = async () =>
    (await cluster.get<Workload>('Deployment', namespace, name))?.status?.availableReplicas ?? 0
  const limits = { limitMs: timeoutMs, intervalMs: 500, signal, clock }
  const count = await poll(available, (each) => each >= replicas, limits)
  if (count >= replicas) return
  const autoscaler = await autoscalerOf(cluster, deployment)
  throw new Error(
    `Deployment/${name} has ${count} of the ${replicas} ready pods that it needs for the canary's traffic; ` +
      (autoscaler
        ? `see why its ${kindAndName(autoscaler)} keeps it smaller (kubectl describe hpa), or who sets its minReplicas back`
        : 'see who scales it, and run again'),
  )
}

/**
 * An autoscaler decides every 15 s, by metrics that are collected every 15 s and are averages of such a time. After so
 * long it knows that the traffic is back.
 */
const settledMs = 60_000

/**
 * `changed`: an autoscaler was written. `unrestored`: what a cancelled run leaves raised, as a sentence. Then the canary
 * of a release has to stay: by it the next run sees that it has work to do.
 */
export type MinReplicasRestore = { changed: boolean; unrestored?: string }

/**
 * Gives the autoscalers that were raised for the service their minimum back, as soon as they ask for no fewer pods, or
 * after a minute. What somebody else has written since stays. A cancelled run leaves them as they are, and warns of it.
 * @throws Error that names the autoscaler that cannot be written
 */
export async function restoreMinReplicas(
  cluster: Cluster,
  namespace: string,
  service: string,
  { note, warn, signal, clock }: AutoscalerDeps,
): Promise<MinReplicasRestore> {
  const raised = () => listRaised(cluster, namespace, service)
  const limits = { limitMs: settledMs, intervalMs: 1_000, signal, clock }
  await poll(raised, (all) => !all.some(wantsFewer), limits).catch((problem: unknown) => {
    if (!signal.aborted) throw problem
  })
  if (signal.aborted) {
    const unrestored = describeUnrestored(await raised())
    if (unrestored === undefined) return { changed: false }
    warn(unrestored)
    return { changed: false, unrestored }
  }
  let changed = false
  await untilWritten(clock, async () => {
    for (const each of await raised()) {
      await write(cluster, each, ownMinimum(each)).catch((error: unknown) => {
        throw isConflict(error) ? error : new Error(explainUnwritten(each, error))
      })
      changed = true
      note(`${kindAndName(each)}: minReplicas ${minimumOf(each)} → ${ownMinimum(each)}`)
    }
  })
  return { changed }
}

/** Undefined if somebody else has written all of them since they were raised. */
function describeUnrestored(raised: HorizontalPodAutoscaler[]): string | undefined {
  const each = raised
    .filter((one) => ownMinimum(one) !== minimumOf(one))
    .map((one) => `${kindAndName(one)} keeps minReplicas ${minimumOf(one)} (before the promotion: ${ownMinimum(one)})`)
  if (each.length === 0) return undefined
  return `the run was cancelled, so ${each.join(', and ')}; the stage \`rollback\` restores minReplicas`
}

function explainUnwritten(autoscaler: HorizontalPodAutoscaler, error: unknown): string {
  const remedy = lacksRights(error) ? '; give the run the rights of deploy/rbac/deliver.yaml' : ''
  return (
    `${kindAndName(autoscaler)} keeps minReplicas ${minimumOf(autoscaler)}, because the run could not set ` +
    `${ownMinimum(autoscaler)}, as before the promotion: ${messageOf(error)}${remedy}`
  )
}

/** Somebody else, such as a GitOps controller, may write the autoscaler at the same time. */
function untilWritten<T>(clock: Clock, work: () => Promise<T>): Promise<T> {
  return retry(work, { attempts: 5, firstDelayMs: 100, isTransient: isConflict, clock })
}

/** The JSON of a Raise, on an autoscaler whose minimum a run has raised. */
const raisedAnnotation = 'mesh-canary.io/raised-minimum'
const annotationPath = `/metadata/annotations/${raisedAnnotation.replace('/', '~1')}`

/** `from`, `to`: the minimum before and since. */
type Raise = { service: string; from: number; to: number }

/** @throws Error if an autoscaler of the service has a record that nobody can read. Those of other services do not matter. */
async function listRaised(cluster: Cluster, namespace: string, service: string): Promise<HorizontalPodAutoscaler[]> {
  const raised: HorizontalPodAutoscaler[] = []
  for (const each of await listAutoscalers(cluster, namespace)) {
    const raise = readRaise(each)
    if (raise === 'unreadable' && (await mayServe(cluster, namespace, service, each)))
      throw new Error(explainUnreadable(each))
    if (raise !== 'unreadable' && raise?.service === service) raised.push(each)
  }
  return raised
}

/** True also if the Service has no selector, because then nobody can tell. */
async function mayServe(
  cluster: Cluster,
  namespace: string,
  service: string,
  { spec: { scaleTargetRef } }: HorizontalPodAutoscaler,
): Promise<boolean> {
  const [found, target] = await Promise.all([
    cluster.get<Service>('Service', namespace, service),
    cluster.get<Workload>('Deployment', namespace, scaleTargetRef.name),
  ])
  return matches(found?.spec.selector ?? {}, target?.spec.template.metadata?.labels)
}

/** @throws Error if nobody can read the record */
function raiseOf(autoscaler: HorizontalPodAutoscaler): Raise | undefined {
  const raise = readRaise(autoscaler)
  if (raise === 'unreadable') throw new Error(explainUnreadable(autoscaler))
  return raise
}

function readRaise({ metadata }: HorizontalPodAutoscaler): Raise | 'unreadable' | undefined {
  const text = metadata.annotations?.[raisedAnnotation]
  if (text === undefined) return undefined
  try {
    const { service, from, to } = JSON.parse(text) as Partial<Record<keyof Raise, unknown>>
    return typeof service === 'string' && isCount(from) && isCount(to) ? { service, from, to } : 'unreadable'
  } catch {
    return 'unreadable'
  }
}

const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0

function explainUnreadable(autoscaler: HorizontalPodAutoscaler): string {
  const { name, namespace = '', annotations } = autoscaler.metadata
  const expected = JSON.stringify({ service: 'till', from: 2, to: 4 } satisfies Raise)
  return (
    `${kindAndName(autoscaler)}: the annotation ${raisedAnnotation} is '${annotations?.[raisedAnnotation]}'; expected JSON such ` +
    `as ${expected}, by which the run restores minReplicas: set them to what they were (now ${minimumOf(autoscaler)}), remove ` +
    `the annotation (kubectl -n ${namespace} annotate hpa ${name} ${raisedAnnotation}-), and run again`
  )
}

function minimumOf({ spec }: HorizontalPodAutoscaler): number {
  return spec.minReplicas ?? 1
}

/** The minimum that it has without a run. */
function ownMinimum(autoscaler: HorizontalPodAutoscaler): number {
  const raise = raiseOf(autoscaler)
  return raise && raise.to === minimumOf(autoscaler) ? raise.from : minimumOf(autoscaler)
}

/** True while it counts the load from before the traffic was back. */
function wantsFewer({ status }: HorizontalPodAutoscaler): boolean {
  return (status?.conditions ?? []).some(
    ({ type, status, reason }) => type === 'ScalingLimited' && status === 'True' && reason === 'TooFewReplicas',
  )
}

/** @throws ApiError of a conflict if it was changed since it was read */
async function write(
  cluster: Cluster,
  autoscaler: HorizontalPodAutoscaler,
  minimum: number,
  raise?: Raise,
): Promise<void> {
  const { metadata, spec } = autoscaler
  const annotation = JSON.stringify(raise)
  const operations: PatchOperation[] = [
    ...(spec.minReplicas === undefined
      ? []
      : [{ op: 'test' as const, path: '/spec/minReplicas', value: spec.minReplicas }]),
    { op: 'add', path: '/spec/minReplicas', value: minimum },
    raise === undefined
      ? { op: 'remove', path: annotationPath }
      : metadata.annotations
        ? { op: 'add', path: annotationPath, value: annotation }
        : { op: 'add', path: '/metadata/annotations', value: { [raisedAnnotation]: annotation } },
  ]
  await cluster.patch(kind, metadata.namespace, metadata.name, operations)
}

function kindAndName({ metadata }: HorizontalPodAutoscaler): string {
  return `${kind}/${metadata.name}`
}

function explainRefusal(autoscaler: HorizontalPodAutoscaler, to: number, error: unknown): string {
  return (
    `the ${kindAndName(autoscaler)} would scale stable down while the canary has its traffic, and the run may not raise its ` +
    `minReplicas to ${to} (${messageOf(error)}); give it the rights of deploy/rbac/deliver.yaml`
  )
}
