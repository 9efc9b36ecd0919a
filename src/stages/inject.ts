// The stage inject: points the namespace to the control plane of the config, and restarts the workloads that lack its
// sidecar, in order. If a move from one revision to another fails, it moves the namespace back.
import { emptyWhenUnread } from '../cluster/api-error.ts'
import { owns } from '../cluster/labels.ts'
import type { KubeObject, Pod, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import {
  labelNamespace,
  lackingSidecar,
  planNamespaceMove,
  restart,
  selectWorkloads,
  describeLabels,
  type NamespaceMove,
  type TagMove,
} from '../mesh/inject.ts'
import { defaultRevision } from '../mesh/labels.ts'
import { injectorFaults, readInjectors } from '../mesh/injectors.ts'
import { hasOlderSidecar, injectedVersion } from '../mesh/proxy-version.ts'
import { listControlPlanes, setTagArgs, type ControlPlane } from '../mesh/revisions.ts'
import { expectsSidecar, hasSidecar, isOfOtherRevision, sidecarRevision, whyWithoutSidecar } from '../mesh/sidecar.ts'
import type { Change } from '../policies/apply.ts'
import { messageOf } from '../runtime/errors.ts'
import { verifyProxies } from '../verify/proxies.ts'
import { waitForRollout, whyNotReplaced } from '../verify/rollout.ts'
import { canaryMatcher, runIstioctl, type StageOutcome, type Host, type StageContext } from './context.ts'

export async function inject(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, recorder } = context
  const { namespace } = config
  const move = await planNamespaceMove(cluster, namespace, config.istio)
  const { all, workloads, reasonFor } = await workloadsToRestart(context, move)
  reportOptedOut(context, all)
  requireReplaced(workloads)
  if (config.dryRun) {
    await requireInjector(context, move, workloads)
    return reportDryRun(context, move, workloads, reasonFor)
  }
  const controlPlanes = await requireRevision(context)
  await requireInjector(context, move, workloads)
  if (move.tag) await moveTag(context, move.tag)
  if (move.labels) {
    await labelNamespace(cluster, namespace, move.labels)
    recorder.record({ changes: [{ kind: 'Namespace', namespace, name: namespace, action: 'changed' }] })
  }
  host.info(
    move.labels
      ? `namespace ${namespace}: labelled ${describeLabels(move.labels, move.before)}`
      : `namespace ${namespace}: already asks for sidecars`,
  )
  const restarted: Workload[] = []
  try {
    for (const workload of workloads) {
      restarted.push(workload)
      await restartWorkload(context, workload, reasonFor(workload))
    }
    if (move.revision !== undefined && workloads.length > 0) await checkSidecars(context, workloads, move.revision)
  } catch (error) {
    const canMoveBack = changesRevision(move) && controlPlanes.some(({ revision }) => revision === move.from)
    throw canMoveBack ? await moveBack(context, move, restarted, error) : error
  }
  if (workloads.length === 0) host.info('every workload already has its sidecar: nothing was restarted')
  return { changed: move.labels !== undefined || move.tag !== undefined || workloads.length > 0 }
}

/** `all`: what the config selects. `reasonFor`: the end of a sentence that begins with `restarted, because`. */
type Restarts = { all: Workload[]; workloads: Workload[]; reasonFor: (workload: Workload) => string }

/** In their order, the workloads without the right sidecar, and those whose sidecar an upgrade in place left behind. */
async function workloadsToRestart({ config, cluster }: StageContext, { revision }: NamespaceMove): Promise<Restarts> {
  const { namespace } = config
  const all = await selectWorkloads(cluster, namespace, config.workloads!)
  const pods = await cluster.list<Pod>('Pod', namespace)
  const lacking = lackingSidecar(all, pods, revision)
  const version = revision === undefined ? undefined : await injectedVersion(cluster, revision)
  const older = pods.filter((pod) => hasOlderSidecar(pod, version))
  return {
    all,
    workloads: all.filter((each) => lacking.includes(each) || older.some((pod) => owns(each, pod))),
    reasonFor: (workload) =>
      lacking.includes(workload)
        ? `it had no sidecar${ofRevision(revision)}`
        : `its sidecar was older than ${version}, which the control plane injects`,
  }
}

const nameOf = ({ kind, metadata }: Workload) => `${kind}/${metadata.name}`

/** ` of the revision X`; empty for the default revision. */
const ofRevision = (revision: string | undefined) =>
  revision === undefined || revision === defaultRevision ? '' : ` of the revision ${revision}`

function reportDryRun(
  { config: { namespace }, host }: StageContext,
  { labels, before, tag }: NamespaceMove,
  workloads: Workload[],
  reasonFor: Restarts['reasonFor'],
): StageOutcome {
  if (tag)
    host.info(`tag ${tag.name}: would point to ${tag.to}${tag.from === undefined ? '' : ` instead of ${tag.from}`}`)
  if (labels) host.info(`namespace ${namespace}: would be labelled ${describeLabels(labels, before)}`)
  for (const workload of workloads) host.info(`${nameOf(workload)}: would be restarted, because ${reasonFor(workload)}`)
  if (workloads.length === 0) host.info('every workload already has its sidecar')
  return { changed: labels !== undefined || tag !== undefined || workloads.length > 0 }
}

/**
 * Fails if no injector would take the new pods. Skipped where the run changes the injectors itself, and where the
 * account may not read them: then the first restart shows it.
 */
async function requireInjector(
  { cluster, config: { namespace, dryRun }, stages }: StageContext,
  { labels = {}, tag }: NamespaceMove,
  workloads: Workload[],
): Promise<void> {
  if (tag || (dryRun && stages.includes('install'))) return
  const [injectors, object] = await Promise.all([
    readInjectors(cluster),
    cluster.get<KubeObject>('Namespace', undefined, namespace),
  ])
  const after = { ...object?.metadata.labels, ...labels }
  const faults = injectors ? injectorFaults(injectors, namespace, after, workloads) : []
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
}

/** A restart of these replaces no pod. */
function requireReplaced(workloads: Workload[]): void {
  const faults = workloads.flatMap((workload) => {
    const why = whyNotReplaced(workload)
    const { namespace = '', name } = workload.metadata
    return why === undefined
      ? []
      : [
          `workloads: ${workload.kind} ${namespace}/${name} needs new pods with sidecars, but ${why}; nothing was restarted`,
        ]
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
}

/** Workloads that stay out of the mesh, although the config asks for all. */
function reportOptedOut({ config, host }: StageContext, all: Workload[]): void {
  if (config.workloads !== 'all') return
  for (const workload of all) {
    const why = whyWithoutSidecar(workload)
    if (why !== undefined) host.info(`${nameOf(workload)}: stays without a sidecar: ${why}`)
  }
}

/**
 * Returns the control planes. If the revision does not exist, Kubernetes creates pods without a sidecar and reports no
 * error, so this fails.
 */
async function requireRevision({ config: { istio }, cluster }: StageContext): Promise<ControlPlane[]> {
  const all = await listControlPlanes(cluster).catch(emptyWhenUnread)
  if (istio?.revision === undefined || all.length === 0 || all.some(({ revision }) => revision === istio.revision))
    return all
  throw new ConfigError(
    `istio.revision: there is no control plane of the revision ${istio.revision} in the cluster ` +
      `(there are ${all.map(({ revision }) => revision).join(', ')}), so no pod would get a sidecar; ` +
      'run the stage install as well, or correct the name',
  )
}

/** True if the namespace moves to another revision, and its current revision is known. */
function changesRevision({ labels, tag, from, revision }: NamespaceMove): boolean {
  return (
    (labels !== undefined || tag !== undefined) && from !== undefined && revision !== undefined && from !== revision
  )
}

export async function moveTag(context: StageContext, { name, to, from }: TagMove): Promise<void> {
  await runIstioctl(context, setTagArgs(name, to))
  const action = from === undefined ? 'created' : 'changed'
  const webhook: Change = {
    kind: 'MutatingWebhookConfiguration',
    namespace: '',
    name: `istio-revision-tag-${name}`,
    action,
  }
  context.recorder.record({ changes: [webhook] })
  const change =
    from === undefined ? '' : ` instead of ${from}; other namespaces with this tag follow when their pods are restarted`
  context.host.info(`tag ${name}: points to ${to}${change}`)
}

async function restartWorkload(context: StageContext, workload: Workload, reason: string): Promise<void> {
  const { config, host, cluster, recorder } = context
  await restart(cluster, workload)
  recorder.record({ restarted: [nameOf(workload)] })
  host.info(`${nameOf(workload)}: restarted, because ${reason}`)
  const isCanary = await canaryMatcher(context)
  const rollout = waitForRollout(cluster, workload, config.verify.timeout, host.signal)
  if (isCanary(workload.spec.template.metadata?.labels)) return rollout.catch(warnUnlessCancelled(host))
  await rollout
  const pods = await cluster.list<Pod>('Pod', config.namespace)
  const bare = pods.find((pod) => owns(workload, pod) && expectsSidecar(pod) && !hasSidecar(pod))
  if (bare)
    throw new Error(
      `pod ${config.namespace}/${bare.metadata.name} was restarted and has no sidecar, so no other workload is ` +
        'restarted: check that the revision that the namespace names exists, and that its injector takes the pod',
    )
}

/** The promotion judges the canary's own rollout, so a failure of it does not end this stage. */
function warnUnlessCancelled({ signal, warning }: Host) {
  return (error: unknown) => {
    signal.throwIfAborted()
    warning(messageOf(error))
  }
}

/** Checks that every new pod has a sidecar of the revision that is in sync, while the namespace can still move back. */
async function checkSidecars(context: StageContext, workloads: Workload[], revision: string): Promise<void> {
  const { config, cluster } = context
  const isCanary = await canaryMatcher(context)
  const checked = workloads.filter(({ spec }) => !isCanary(spec.template.metadata?.labels))
  const pods = (await cluster.list<Pod>('Pod', config.namespace)).filter(
    (pod) => expectsSidecar(pod) && checked.some((workload) => owns(workload, pod)),
  )
  const withoutIt = pods.filter((pod) => !hasSidecar(pod) || isOfOtherRevision(pod, revision))
  if (withoutIt.length > 0)
    throw new Error(withoutIt.map((pod) => describeWrongSidecar(pod, config.namespace, revision)).join('\n'))
  const outOfSync = (await verifyProxies(cluster, config.namespace)).filter(
    ({ pod, ok }) => !ok && pods.some(({ metadata }) => metadata.name === pod),
  )
  if (outOfSync.length > 0)
    throw new Error(
      outOfSync
        .map(
          ({ pod, cause }) =>
            `the proxy of ${config.namespace}/${pod} is not in sync with the control plane ${revision}: ${cause ?? ''}`,
        )
        .join('\n'),
    )
}

function describeWrongSidecar(pod: Pod, namespace: string, revision: string): string {
  const actual = hasSidecar(pod) ? `a sidecar of the revision ${sidecarRevision(pod)}` : 'no sidecar'
  return (
    `pod ${namespace}/${pod.metadata.name} was created with ${actual} instead of one of ${revision}; ` +
    'look for a label istio.io/rev or sidecar.istio.io/inject in its template'
  )
}

/**
 * Moves the namespace back to its former revision and restarts the workloads again. Both revisions share a root of
 * trust, so pods of both can call each other meanwhile. A cancelled run does not wait for the rollouts: Kubernetes
 * completes them.
 */
async function moveBack(
  context: StageContext,
  { before, labels, tag, from }: NamespaceMove,
  restarted: Workload[],
  cause: unknown,
): Promise<Error> {
  const { config, cluster, host, recorder } = context
  const failure = messageOf(cause)
  const uncancelled: StageContext = { ...context, host: { ...host, signal: new AbortController().signal } }
  const names = restarted.map(nameOf)
  try {
    if (tag)
      await runIstioctl(
        uncancelled,
        tag.from === undefined ? ['tag', 'remove', tag.name, '-y'] : setTagArgs(tag.name, tag.from),
      )
    if (labels) await labelNamespace(cluster, config.namespace, before)
    for (const workload of restarted) await restart(cluster, workload)
    recorder.record({ restarted: names })
    if (!host.signal.aborted)
      for (const workload of restarted) await waitForRollout(cluster, workload, config.verify.timeout, host.signal)
  } catch (error) {
    return new Error(`${failure}\nand moving back to the revision ${from} also failed: ${messageOf(error)}`)
  }
  return new Error(
    `${failure}\nso the namespace ${config.namespace} points to the revision ${from} again, ` +
      `and ${names.join(', ')} ${host.signal.aborted ? 'are being' : 'were'} restarted with its sidecars`,
  )
}
