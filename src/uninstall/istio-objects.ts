// Istio's own objects in a cluster: those that an uninstall removes, and those that show whether users work in
// istio-system.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenAbsent } from '../cluster/api-error.ts'
import { systemNamespace, titleOf, type Kind, type KubeObject } from '../cluster/objects.ts'
import { usersObjects } from '../cluster/namespace-content.ts'
import { tagLabel } from '../mesh/labels.ts'
import { isOurs } from '../policies/owned-objects.ts'
import { listNames } from '../runtime/errors.ts'

const istioLabels = [
  'install.operator.istio.io/owning-resource',
  'operator.istio.io/managed',
  'operator.istio.io/component',
  tagLabel,
]

/** True for objects that istioctl installed. */
export function isIstios({ metadata: { labels = {} } }: KubeObject): boolean {
  return istioLabels.some((label) => label in labels)
}

export function isIstiod({ kind, metadata: { labels = {} } }: KubeObject): boolean {
  return kind === 'Deployment' && labels['app'] === 'istiod'
}

/** True for objects that istiod creates while it runs, and that istioctl leaves behind. */
export function isRuntimeObject({ kind }: KubeObject): boolean {
  return kind === 'ConfigMap' || kind === 'GatewayClass'
}

/** istiod writes these into every namespace. */
const certificateMaps = ['istio-ca-root-cert', 'istio-ca-crl']

/** istiod itself, and all objects of Istio outside its namespace. */
export async function listMeshObjects(cluster: Cluster): Promise<KubeObject[]> {
  const list = (kind: Kind, namespace?: string, query = {}) =>
    cluster.list<KubeObject>(kind, namespace, query).catch(emptyWhenAbsent)
  const [istiod, crds, certificates, gatewayClasses, ...named] = await Promise.all([
    list('Deployment', systemNamespace),
    list('CustomResourceDefinition'),
    list('ConfigMap', undefined, { labelSelector: 'istio.io/config=true' }),
    list('GatewayClass'),
    list('MutatingWebhookConfiguration'),
    list('ValidatingWebhookConfiguration'),
    list('ClusterRole'),
    list('ClusterRoleBinding'),
  ])
  return [
    ...istiod.filter(isIstios),
    ...crds.filter(({ metadata }) => metadata.name.endsWith('.istio.io')),
    ...named.flat().filter((object) => isIstios(object) || /^(istio|istiod)-/.test(object.metadata.name)),
    ...gatewayClasses.filter(isOfIstioController),
    ...certificates.filter(({ metadata }) => certificateMaps.includes(metadata.name)),
  ]
}

function isOfIstioController({ spec }: KubeObject & { spec?: { controllerName?: string } }): boolean {
  return spec?.controllerName?.startsWith('istio.io/') ?? false
}

const caSecret = 'istio-ca-secret'
function isUsers(object: KubeObject): boolean {
  const isGenerated = object.kind === 'Secret' && object.metadata.name === caSecret
  return !isIstios(object) && !isOurs(object) && !isLeaderElection(object) && !isGenerated
}

/** True for the ConfigMap with which istiod's replicas elect their leader. */
function isLeaderElection({ metadata: { name, annotations = {} } }: KubeObject): boolean {
  return name.startsWith('istio-') && 'control-plane.alpha.kubernetes.io/leader' in annotations
}

/** True if istio-system exists and holds nothing of a user's, so that an uninstall may delete it. */
export async function canDeleteSystemNamespace(cluster: Cluster, note: (line: string) => void): Promise<boolean> {
  if (!(await cluster.get('Namespace', undefined, systemNamespace))) return false
  const users = (await usersObjects(cluster, systemNamespace)).filter(isUsers)
  if (users.length > 0)
    note(
      `the namespace ${systemNamespace} stays because it holds objects that are not part of the mesh: ` +
        listNames(users.map(titleOf)),
    )
  return users.length === 0
}

/** The rest of the mesh in an istio-system that stays: istiod's own objects, and our record of the installation. */
export async function listLeftovers(cluster: Cluster): Promise<KubeObject[]> {
  const [maps, secrets] = await Promise.all([
    cluster.list<KubeObject>('ConfigMap', systemNamespace),
    cluster.list<KubeObject>('Secret', systemNamespace),
  ])
  return [
    ...maps.filter((object) => isOurs(object) || isLeaderElection(object)),
    ...secrets.filter(({ metadata }) => metadata.name === caSecret),
  ]
}
