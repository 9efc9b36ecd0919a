// The stage inject: the namespace points to the control plane it is asked to, and the workloads that lack its sidecar are
// restarted in their order. Where that fails on the way from one revision to another, it goes back to the one it came from.
import { emptyWhenUnread } from '../cluster/api-error.ts'
import { belongs } from '../cluster/labels.ts'
import type { Pod, Workload } from '../cluster/objects.ts'
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
import { listControlPlanes, setTagArgs, type ControlPlane } from '../mesh/revisions.ts'
import { expectsSidecar, hasSidecar, isOfOtherRevision, sidecarRevision } from '../mesh/sidecar.ts'
import type { Change } from '../policies/apply.ts'
import { messageOf } from '../runtime/errors.ts'
import { verifyProxies } from '../verify/proxies.ts'
import { waitForRollout } from '../verify/rollout.ts'
import { isCanary, runIstioctl, type StageOutcome, type Host, type StageContext } from './context.ts'

export async function inject(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, recorder } = context
  const { namespace, workloads } = config
  const move = await planNamespaceMove(cluster, namespace, config.istio)
  const all = await selectWorkloads(cluster, namespace, workloads!)
  const lacking = lackingSidecar(all, await cluster.list<Pod>('Pod', namespace), move.revision)
  if (config.dryRun) return wouldBe(context, move, lacking)

  const before = await planesThere(context)
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
    for (const workload of lacking) {
      restarted.push(workload)
      await renew(context, workload, move)
    }
    if (move.revision !== undefined && lacking.length > 0) await checkSidecars(context, lacking, move.revision)
  } catch (error) {
    throw isBetween(move) && before.some(({ revision }) => revision === move.from)
      ? await putBack(context, move, restarted, error)
      : error
  }
  if (lacking.length === 0) host.info('every workload already has its sidecar: nothing was restarted')
  return { changed: move.labels !== undefined || move.tag !== undefined || lacking.length > 0 }
}

const nameOf = ({ kind, metadata }: Workload) => `${kind}/${metadata.name}`

function wouldBe(
  { config: { namespace }, host }: StageContext,
  { labels, before, tag, revision }: NamespaceMove,
  lacking: Workload[],
): StageOutcome {
  if (tag)
    host.info(
      `tag ${tag.name}: would be made to point to ${tag.to}${tag.from === undefined ? '' : `, not ${tag.from} any more`}`,
    )
  if (labels) host.info(`namespace ${namespace}: would be labelled ${describeLabels(labels, before)}`)
  host.info(
    lacking.length > 0
      ? `would be restarted, for want of a sidecar${revision === undefined || revision === defaultRevision ? '' : ` of the revision ${revision}`}: ${lacking.map(nameOf).join(', ')}`
      : 'every workload already has its sidecar',
  )
  return { changed: labels !== undefined || tag !== undefined || lacking.length > 0 }
}

/** Pods that point to a revision which is not there are made without a sidecar, and nobody complains. */
async function planesThere({ config: { istio }, cluster }: StageContext): Promise<ControlPlane[]> {
  const all = await listControlPlanes(cluster).catch(emptyWhenUnread)
  if (istio?.revision === undefined || all.length === 0 || all.some(({ revision }) => revision === istio.revision))
    return all
  throw new ConfigError(
    `istio.revision: there is no control plane of the revision ${istio.revision} in the cluster (there are ${all.map(({ revision }) => revision).join(', ')}), so no pod would get a sidecar; run the stage install as well, or correct the name`,
  )
}

/** Whether the namespace comes from another revision, and from which is known. */
function isBetween({ labels, tag, from, revision }: NamespaceMove): boolean {
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
  context.host.info(
    `tag ${name}: points to ${to}${from === undefined ? '' : `, not ${from} any more; other namespaces that name it follow when their pods are restarted`}`,
  )
}

async function renew(
  { config, host, cluster, recorder }: StageContext,
  workload: Workload,
  { revision }: NamespaceMove,
): Promise<void> {
  await restart(cluster, workload)
  recorder.record({ restarted: [nameOf(workload)] })
  host.info(
    `${nameOf(workload)}: restarted, for it had no sidecar${revision === undefined || revision === defaultRevision ? '' : ` of the revision ${revision}`}`,
  )
  const rollout = waitForRollout(cluster, workload, config.verify.timeout, host.signal)
  await (isCanary(config, workload.spec.template.metadata?.labels) ? rollout.catch(leftToPromotion(host)) : rollout)
}

function leftToPromotion({ signal, warning }: Host) {
  return (error: unknown) => {
    signal.throwIfAborted()
    warning(messageOf(error))
  }
}

/** While the way back is still open: every new pod has a sidecar of the revision, and its istiod has told it everything. */
async function checkSidecars(
  { config, cluster }: StageContext,
  workloads: Workload[],
  revision: string,
): Promise<void> {
  const judged = workloads.filter(({ spec }) => !isCanary(config, spec.template.metadata?.labels))
  const pods = (await cluster.list<Pod>('Pod', config.namespace)).filter(
    (pod) => expectsSidecar(pod) && judged.some((workload) => belongs(workload, pod)),
  )
  const strange = pods.filter((pod) => !hasSidecar(pod) || isOfOtherRevision(pod, revision))
  if (strange.length > 0)
    throw new Error(
      strange
        .map(
          (pod) =>
            `pod ${config.namespace}/${pod.metadata.name} was made with ${hasSidecar(pod) ? `a sidecar of the revision ${sidecarRevision(pod)}` : 'no sidecar'}, not with one of ${revision}; look for a label istio.io/rev or sidecar.istio.io/inject in its template`,
        )
        .join('\n'),
    )
  const wrong = (await verifyProxies(cluster, config.namespace)).filter(
    ({ pod, ok }) => !ok && pods.some(({ metadata }) => metadata.name === pod),
  )
  if (wrong.length > 0)
    throw new Error(
      wrong
        .map(
          ({ pod, cause }) =>
            `the proxy of ${config.namespace}/${pod} is not in sync with the control plane ${revision}: ${cause ?? ''}`,
        )
        .join('\n'),
    )
}

/**
 * What was restarted gets its former sidecars again. Both revisions share their root of trust, so the mixture on the way serves.
 * Of a run that is cancelled, nothing is waited for: Kubernetes goes on by itself.
 */
async function putBack(
  context: StageContext,
  { before, labels, tag, from }: NamespaceMove,
  restarted: Workload[],
  cause: unknown,
): Promise<Error> {
  const { config, cluster, host, recorder } = context
  const said = messageOf(cause)
  const calm: StageContext = { ...context, host: { ...host, signal: new AbortController().signal } }
  const names = restarted.map(nameOf)
  try {
    if (tag)
      await runIstioctl(
        calm,
        tag.from === undefined ? ['tag', 'remove', tag.name, '-y'] : setTagArgs(tag.name, tag.from),
      )
    if (labels) await labelNamespace(cluster, config.namespace, before)
    for (const workload of restarted) await restart(cluster, workload)
    recorder.record({ restarted: names })
    if (!host.signal.aborted)
      for (const workload of restarted) await waitForRollout(cluster, workload, config.verify.timeout, host.signal)
  } catch (error) {
    return new Error(`${said}\nand the way back to the revision ${from} was not through either: ${messageOf(error)}`)
  }
  return new Error(
    `${said}\nso the namespace ${config.namespace} points to the revision ${from} again, and ${names.join(', ')} ${host.signal.aborted ? 'are being' : 'were'} restarted with its sidecars`,
  )
}
