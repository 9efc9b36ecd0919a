// Finds the one Deployment behind a Service.
import { emptyWhenUnread } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { belongs, matches, selectorText } from '../cluster/labels.ts'
import { titleOf, type Kind, type Pod, type Service, type Workload } from '../cluster/objects.ts'
import { isLive } from '../cluster/pods.ts'
import { createdCanaryLabel } from '../config/names.ts'

const kinds = ['Deployment', 'StatefulSet', 'DaemonSet'] as const satisfies Kind[]

/** Why a run cannot release what is behind the Service. */
export class NotReleasable extends Error {
  override name = 'NotReleasable'
}

/** The Deployment whose pods are behind the Service, without a canary that a run created. @throws NotReleasable */
export async function deploymentBehind(cluster: Cluster, service: Service): Promise<Workload> {
  const { namespace } = service.metadata
  const title = titleOf({ ...service, kind: 'Service' })
  const { selector = {} } = service.spec
  if (Object.keys(selector).length === 0)
    throw new NotReleasable(
      `the ${title} has no selector, so nobody can tell which Deployment is behind it; give it one`,
    )
  const [pods, ...lists] = await Promise.all([
    cluster.list<Pod>('Pod', namespace, { labelSelector: selectorText(selector) }),
    ...kinds.map((kind) => cluster.list<Workload>(kind, namespace).catch(emptyWhenUnread)),
  ])
  const own = lists.flat().filter(({ spec }) => {
    const { labels = {} } = spec.template.metadata ?? {}
    return matches(selector, labels) && labels[createdCanaryLabel] === undefined
  })
  const stray = pods.filter((pod) => isStray(pod, selector)).find((pod) => !own.some((each) => isOwner(each, pod)))
  if (stray) throw new NotReleasable(`${describeOwner(stray)} is behind the ${title}; ${remedy(stray)}`)
  const active = own.filter((each) => each.spec.replicas !== 0 || pods.some((pod) => isOwner(each, pod)))
  return requireDeployment(active, title, selectorText(selector))
}

/** Whether someone has to own the pod. `selector`: of the Service. */
function isStray(pod: Pod, selector: Record<string, string>): boolean {
  const { labels = {} } = pod.metadata
  const isOurs = labels[createdCanaryLabel] !== undefined
  return matches(selector, labels) && !isOurs && isLive(pod)
}

function isOwner(workload: Workload, pod: Pod): boolean {
  const owner = controllerOf(pod)
  if (!owner) return false
  const { kind, metadata } = workload
  if (kind !== 'Deployment') return owner.kind === kind && owner.name === metadata.name
  // A ReplicaSet has the name of its Deployment and a hash. Reading it would need one more right.
  return (
    owner.kind === 'ReplicaSet' && owner.name.replace(/-[a-z0-9]+$/, '') === metadata.name && isPodOf(workload, pod)
  )
}

/** During a rollout the old pods may lack labels of the new template. */
function isPodOf(workload: Workload, pod: Pod): boolean {
  return belongs(workload, pod) || matches(workload.spec.selector.matchLabels ?? {}, pod.metadata.labels)
}

const controllerOf = ({ metadata: { ownerReferences = [] } }: Pod | Workload) =>
  ownerReferences.find(({ controller }) => controller)

const rolloutLabel = 'rollouts-pod-template-hash'

function describeOwner(pod: Pod): string {
  const owner = controllerOf(pod)
  const { name, labels = {} } = pod.metadata
  if (!owner) return `the pod ${name}, which no workload owns,`
  if (labels[rolloutLabel] !== undefined) return `the pod ${name} of an Argo Rollout (${owner.kind} ${owner.name})`
  return `the pod ${name} of the ${owner.kind} ${owner.name}, which no Deployment owns,`
}

function remedy(pod: Pod): string {
  if (pod.metadata.labels?.[rolloutLabel] !== undefined)
    return 'Argo Rollouts promotes it already: set `engine: argo-rollouts` to release through it, or replace the Rollout by a Deployment'
  return 'a run releases one Deployment: change the labels of the pod or the selector of the Service, so that only its pods are there'
}

function requireDeployment(found: readonly Workload[], title: string, selector: string): Workload {
  const names = found.map((each) => `${each.kind} ${each.metadata.name}`)
  if (found.length === 0)
    throw new NotReleasable(
      `no Deployment with pods is behind the ${title} (${selector}); deploy the first version with kubectl or Helm, ` +
        'and release the next ones with mesh-canary',
    )
  if (found.length > 1)
    throw new NotReleasable(
      `several workloads are behind the ${title}: ${names.join(', ')}; a run releases one Deployment: delete the others, ` +
        'or name them as `stable` and `canary` instead',
    )
  const [workload] = found as [Workload]
  if (workload.kind !== 'Deployment')
    throw new NotReleasable(
      `the ${names[0]} is behind the ${title}, and a run releases Deployments: ${whyNot[workload.kind] ?? 'others differ'}`,
    )
  const owner = controllerOf(workload)
  if (owner)
    throw new NotReleasable(
      `the ${names[0]} belongs to the ${owner.kind} ${owner.name}, whose operator would undo every change of it; ` +
        `change the image in the ${owner.kind}`,
    )
  return workload
}

const whyNot: Record<string, string> = {
  StatefulSet: 'a second StatefulSet would start with empty volumes and other names',
  DaemonSet: 'a second DaemonSet would need the same ports on each node',
}
