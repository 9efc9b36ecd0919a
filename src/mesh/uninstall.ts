// Takes the mesh away: policies, sidecars, control plane, and what Istio itself leaves behind. Nothing of anybody else's goes
// with it: where the removal would take such a thing along, nothing is touched.
import { type Cluster, emptyWhenAbsent } from '../cluster/client.ts'
import { belongs, managedByLabel, manager } from '../cluster/labels.ts'
import { groupOf, systemNamespace, type Kind, type KubeObject, type Pod, type Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Workload as Named } from '../config/values.ts'
import { apply } from '../policies/apply.ts'
import type { Planned } from '../policies/plan.ts'
import { listNames } from '../runtime/errors.ts'
import { isOurs, listPolicies, namespaceLabel, removeObject } from '../policies/prune.ts'
import { poll } from '../runtime/retry.ts'
import { waitForRollout } from '../cluster/rollout.ts'
import { restart, selectWorkloads } from './inject.ts'
import { watchProxyUpdates } from './propagation.ts'
import { listControlPlanes, removePlane, tagLabel, tagsOf, usersOf, type ControlPlane } from './revisions.ts'
import { ended, hasSidecar } from './sidecar.ts'

/** `istioctl` runs it with the arguments and rejects with the cause when it fails; `note` gets a line a step. */
export type Removal = {
  namespace: string
  /** The one control plane to remove; without it the mesh. */
  revision?: string
  /** In the order in which sidecars came; they go in the opposite one. */
  workloads: readonly Named[] | 'all'
  dryRun: boolean
  timeoutMs: number
  signal: AbortSignal
  istioctl: (args: string[]) => Promise<void>
  note: (line: string) => void
}
/** Each as `Kind namespace/name`. `removed` is what went, or would go; `remains` what should have gone and has not. */
export type Removed = { removed: string[]; restarted: string[]; remains: string[] }

type Done = Pick<Removed, 'removed' | 'restarted'>

/** `done` grows as it goes, so that one that fails half-way can say how far it came. @throws ConfigError, with nothing touched, when others still need the mesh. */
export async function uninstall(
  cluster: Cluster,
  removal: Removal,
  done: Done = { removed: [], restarted: [] },
): Promise<Removed> {
  const { namespace, revision, dryRun, timeoutMs, signal } = removal
  const all = await listControlPlanes(cluster)
  const others = all.filter((plane) => plane.revision !== revision)
  if (revision !== undefined && others.length > 0)
    return { ...done, ...(await onlyOne(cluster, removal, all, revision)) }
  if (others.length > 1)
    throw new ConfigError(
      `uninstall: there are several control planes (${others.map((plane) => plane.revision).join(', ')}), and all would go; name the one to remove as \`istio.revision\` (\`default\` for the one without a name), and remove the last one without`,
    )
  const found = await survey(cluster, removal)
  if (dryRun) return { ...wouldBe(found, namespace), remains: [] }
  await takeAway(cluster, removal, found, done)
  return { ...done, remains: await untilGone(cluster, namespace, found.system, timeoutMs, signal) }
}

/** One control plane of several: the rest of the mesh stays, and the policies and sidecars with it. */
async function onlyOne(
  cluster: Cluster,
  removal: Removal,
  all: ControlPlane[],
  revision: string,
): Promise<Pick<Removed, 'removed' | 'remains'>> {
  if (!all.some((plane) => plane.revision === revision)) return { removed: [], remains: [] }
  const users = await usersOf(cluster, revision)
  if (users.length > 0)
    throw new ConfigError(
      `uninstall: the control plane ${revision} is still used by ${listNames(users)}; move those to another revision first (a gateway moves when the other control plane is installed with it)`,
    )
  // The newest of the others, for the oldest is the next to go.
  if (!removal.dryRun)
    await removePlane(cluster, revision, all.findLast((plane) => plane.revision !== revision)!.revision, removal)
  return { removed: [`control plane ${revision}`], remains: [] }
}

function wouldBe({ leases, policies, labels, workloads, mesh, system }: Found, namespace: string): Done {
  return {
    removed: [
      ...leases.map(titleOf),
      ...policies.map(titleOf),
      ...labels.map((name) => labelTitle(name, namespace)),
      ...mesh.map(titleOf),
      ...(system ? [`Namespace ${systemNamespace}`] : []),
    ],
    restarted: workloads.map(nameOf),
  }
}

const labelTitle = (name: string, namespace: string) => `label ${name} of Namespace ${namespace}`
const nameOf = ({ kind, metadata }: Workload) => `${kind}/${metadata.name}`

/** What is to go: `leases` of promotions, with their guards; `labels` of the namespace, `workloads` that have sidecars, `system` when all of istio-system goes. */
type Found = {
  leases: KubeObject[]
  policies: KubeObject[]
  labels: string[]
  workloads: Workload[]
  mesh: KubeObject[]
  system: boolean
}

async function survey(cluster: Cluster, removal: Removal): Promise<Found> {
  const { namespace, note } = removal
  const [all, everyPod] = await Promise.all([allPolicies(cluster), cluster.list<Pod>('Pod')])
  const pods = everyPod.filter(isInMesh)
  const { ours, others } = sorted(all, namespace)
  const { workloads, loose } = await withSidecars(cluster, removal, pods)
  const faults = [...stillNeeded(others, pods, namespace), ...stuck(loose)]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  const leases = await cluster.list<KubeObject>('Lease', namespace, { labelSelector: `${managedByLabel}=${manager}` })
  return {
    leases,
    policies: ours,
    workloads,
    labels: await injectionLabels(cluster, namespace),
    mesh: await partsOfMesh(cluster),
    system: await systemNamespaceGoes(cluster, note),
  }
}

async function takeAway(
  cluster: Cluster,
  { namespace, timeoutMs, signal, note, istioctl }: Removal,
  { leases, policies, labels, workloads, mesh, system }: Found,
  done: Done,
): Promise<void> {
  // A run that promotes notices, and lets go.
  for (const lease of leases) {
    await removeObject(cluster, lease)
    done.removed.push(titleOf(lease))
  }
  await removePolicies(cluster, policies, namespace, mesh.some(isIstiod), (title) => done.removed.push(title))
  if (labels.length > 0)
    await cluster.merge('Namespace', undefined, namespace, {
      metadata: { labels: Object.fromEntries(labels.map((name) => [name, null])) },
    })
  done.removed.push(...labels.map((name) => labelTitle(name, namespace)))
  for (const workload of workloads) {
    await restart(cluster, workload)
    done.restarted.push(nameOf(workload))
    note(`${nameOf(workload)}: restarted, to be rid of its sidecar`)
    await waitForRollout(cluster, workload, timeoutMs, signal)
  }
  // The purge leaves those that a user made, and they would go on refusing pods in the name of an istiod that is gone.
  for (const tag of mesh.length > 0 ? ((await tagsOf(cluster))?.keys() ?? []) : [])
    await istioctl(['tag', 'remove', tag, '-y'])
  if (mesh.length > 0) await istioctl(['uninstall', '--purge', '-y'])
  for (const object of await partsOfMesh(cluster))
    if (runtimeKinds.has(object.kind)) await removeObject(cluster, object)
  done.removed.push(...mesh.map(titleOf))
  if (!system)
    return void (await Promise.all((await leftBehind(cluster)).map((object) => removeObject(cluster, object))))
  await cluster.remove('Namespace', undefined, systemNamespace)
  done.removed.push(`Namespace ${systemNamespace}`)
}

function titleOf({ kind, metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

/** As an apply removes them: routes, the proxies do without, and only then the subsets. With istiod gone, nobody tells the proxies. */
async function removePolicies(
  cluster: Cluster,
  policies: KubeObject[],
  namespace: string,
  istiod: boolean,
  told: (title: string) => void,
): Promise<void> {
  const planned = policies.map((object): Planned => ({ action: 'delete', object, before: object, diff: [] }))
  const nobody = () => Promise.resolve(() => Promise.resolve())
  await apply(
    cluster,
    planned,
    istiod ? () => watchProxyUpdates(cluster, namespace) : nobody,
    ({ kind, namespace, name }) => told(`${kind} ${namespace}/${name}`),
  )
}

function isIstiod({ kind, metadata: { labels = {} } }: KubeObject): boolean {
  return kind === 'Deployment' && labels['app'] === 'istiod'
}

/** Istio's own, which come and go with it, are left out. */
async function allPolicies(cluster: Cluster): Promise<KubeObject[]> {
  const all = await listPolicies(cluster, undefined)
  return all.filter((object) => !ofIstio(object))
}

const istioLabels = [
  'install.operator.istio.io/owning-resource',
  'operator.istio.io/managed',
  'operator.istio.io/component',
  tagLabel,
]

function ofIstio({ metadata: { labels = {} } }: KubeObject): boolean {
  return istioLabels.some((label) => label in labels)
}

/** Policies of ours for this namespace, and those that the removal of Istio's kinds would take along. */
function sorted(policies: KubeObject[], namespace: string): { ours: KubeObject[]; others: KubeObject[] } {
  const mine = (object: KubeObject) =>
    isOurs(object) && (object.metadata.labels?.[namespaceLabel] ?? object.metadata.namespace) === namespace
  const gatewayApi = ({ apiVersion }: KubeObject) => groupOf(apiVersion) === 'gateway.networking.k8s.io'
  return { ours: policies.filter(mine), others: policies.filter((object) => !mine(object) && !gatewayApi(object)) }
}

/** One that has ended or is about to needs no mesh any more. */
function isInMesh(pod: Pod): boolean {
  return hasSidecar(pod) && !ended(pod) && pod.metadata.deletionTimestamp === undefined
}

function stillNeeded(others: KubeObject[], pods: Pod[], namespace: string): string[] {
  const namespaces = [...new Set(pods.map(({ metadata }) => metadata.namespace ?? ''))].filter(
    (each) => each !== namespace && each !== systemNamespace,
  )
  return [
    ...(others.length > 0
      ? [
          `uninstall: there are policies in the cluster that are not of this namespace's configs, and that would go with Istio's kinds: ${listNames(others.map(titleOf))}; delete them first, or let the mesh stay`,
        ]
      : []),
    ...(namespaces.length > 0
      ? [
          `uninstall: pods in other namespaces still have sidecars (${listNames(namespaces)}) and would lose the mesh; take those out first, or let the mesh stay`,
        ]
      : []),
  ]
}

function stuck(loose: Pod[]): string[] {
  if (loose.length === 0) return []
  return [
    `uninstall: pods have sidecars and are of no Deployment, StatefulSet or DaemonSet that could be restarted without: ${listNames(loose.map((pod) => titleOf({ ...pod, kind: 'Pod' })))}; delete them first, or wait for their end`,
  ]
}

/** Callers came into the mesh before what they call, and so what is called leaves before its callers. `loose` pods have no workload. */
async function withSidecars(
  cluster: Cluster,
  { namespace, workloads }: Removal,
  pods: Pod[],
): Promise<{ workloads: Workload[]; loose: Pod[] }> {
  const named = workloads === 'all' ? [] : [...(await selectWorkloads(cluster, namespace, workloads))].reverse()
  const rest = (await selectWorkloads(cluster, namespace, 'all')).filter(
    ({ kind, metadata }) => !named.some((one) => one.kind === kind && one.metadata.name === metadata.name),
  )
  const all = [...named, ...rest]
  const here = pods.filter(({ metadata }) => metadata.namespace === namespace)
  return {
    workloads: all.filter((workload) => here.some((pod) => belongs(workload, pod))),
    loose: here.filter((pod) => !all.some((workload) => belongs(workload, pod))),
  }
}

async function injectionLabels(cluster: Cluster, namespace: string): Promise<string[]> {
  const labels = (await cluster.get<KubeObject>('Namespace', undefined, namespace))?.metadata.labels ?? {}
  return ['istio-injection', 'istio.io/rev'].filter((label) => label in labels && labels[label] !== 'disabled')
}

/** What istiod makes while it runs, and nobody takes away. */
const runtimeKinds = new Set(['ConfigMap', 'GatewayClass'])
/** In every namespace. */
const certificateMaps = ['istio-ca-root-cert', 'istio-ca-crl']

/** Everything of Istio that stands outside its namespace, and istiod itself. */
async function partsOfMesh(cluster: Cluster): Promise<KubeObject[]> {
  const list = (kind: Kind, namespace?: string, query = {}) =>
    cluster.list<KubeObject>(kind, namespace, query).catch(emptyWhenAbsent)
  const [istiod, crds, certificates, classes, ...named] = await Promise.all([
    list('Deployment', systemNamespace),
    list('CustomResourceDefinition'),
    list('ConfigMap', undefined, { labelSelector: 'istio.io/config=true' }),
    list('GatewayClass'),
    ...(
      ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration', 'ClusterRole', 'ClusterRoleBinding'] as const
    ).map((kind) => list(kind)),
  ])
  return [
    ...istiod.filter(ofIstio),
    ...crds.filter(({ metadata }) => metadata.name.endsWith('.istio.io')),
    ...named.flat().filter((object) => ofIstio(object) || /^(istio|istiod)-/.test(object.metadata.name)),
    ...classes.filter((object) =>
      (object as KubeObject & { spec?: { controllerName?: string } }).spec?.controllerName?.startsWith('istio.io/'),
    ),
    ...certificates.filter(({ metadata }) => certificateMaps.includes(metadata.name)),
  ]
}

const kindsOfUsers = [
  'Pod',
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'CronJob',
  'Service',
  'ConfigMap',
  'Secret',
  'PersistentVolumeClaim',
  'Ingress',
] as const
/** What Kubernetes and istiod write there by themselves. */
const caSecret = 'istio-ca-secret'
const byItself = [
  'ConfigMap kube-root-ca.crt',
  `Secret ${caSecret}`,
  ...certificateMaps.map((name) => `ConfigMap ${name}`),
]

/** By which the replicas of istiod choose their leader. */
function isElection({ metadata: { name, annotations = {} } }: KubeObject): boolean {
  return name.startsWith('istio-') && 'control-plane.alpha.kubernetes.io/leader' in annotations
}

function isOfUser(object: KubeObject): boolean {
  const { name, ownerReferences = [] } = object.metadata
  return (
    !ofIstio(object) &&
    !isOurs(object) &&
    ownerReferences.length === 0 &&
    !isElection(object) &&
    !byItself.includes(`${object.kind} ${name}`)
  )
}

async function systemNamespaceGoes(cluster: Cluster, note: (line: string) => void): Promise<boolean> {
  if (!(await cluster.get('Namespace', undefined, systemNamespace))) return false
  const all = (await Promise.all(kindsOfUsers.map((kind) => cluster.list<KubeObject>(kind, systemNamespace)))).flat()
  const users = all.filter(isOfUser)
  if (users.length > 0)
    note(`the namespace ${systemNamespace} stays, for not all in it is of the mesh: ${listNames(users.map(titleOf))}`)
  return users.length === 0
}

/** Of the mesh in a namespace that stays: what istiod wrote there, and the record of the installation. */
async function leftBehind(cluster: Cluster): Promise<KubeObject[]> {
  const [maps, secrets] = await Promise.all(
    (['ConfigMap', 'Secret'] as const).map((kind) => cluster.list<KubeObject>(kind, systemNamespace)),
  )
  return [
    ...maps!.filter((object) => isOurs(object) || isElection(object)),
    ...secrets!.filter(({ metadata }) => metadata.name === caSecret),
  ]
}

/** Waits for what goes in the background; answers what is still there at the end. */
async function untilGone(
  cluster: Cluster,
  namespace: string,
  system: boolean,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string[]> {
  const look = () => remaining(cluster, namespace, system)
  return poll(look, (left) => left.length === 0, { limitMs: timeoutMs, intervalMs: 500, signal })
}

async function remaining(cluster: Cluster, namespace: string, system: boolean): Promise<string[]> {
  const pods = await cluster.list<Pod>('Pod', namespace)
  const left = system ? await cluster.get<KubeObject>('Namespace', undefined, systemNamespace) : undefined
  return [
    ...(await partsOfMesh(cluster)).map(titleOf),
    ...pods.filter(isInMesh).map((pod) => `sidecar of ${titleOf({ ...pod, kind: 'Pod' })}`),
    ...(left ? [`Namespace ${systemNamespace}`] : []),
    ...(await injectionLabels(cluster, namespace)).map((name) => `label ${name} of Namespace ${namespace}`),
  ]
}
