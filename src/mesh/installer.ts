// Who installed a control plane, or another object of Istio: mesh-canary or somebody else.
import { fieldManager, type Cluster } from '../cluster/client.ts'
import { managedByLabel, manager } from '../cluster/labels.ts'
import { groupOf, systemNamespace, type Meta } from '../cluster/objects.ts'
import { readRecord, type ControlPlane, type InstallRecord } from './revisions.ts'

/** The field manager with which istioctl applies. */
export const istioctlManager = 'istio-operator'

/** A control plane that somebody else installed, and who, as words for a sentence. */
export type Foreign = { plane: ControlPlane; installer: string }

/** The control planes that mesh-canary did not install. */
export async function foreignControlPlanes(cluster: Cluster, all: readonly ControlPlane[]): Promise<Foreign[]> {
  const found = all.map(async (plane): Promise<Foreign[]> => {
    const installer = otherInstaller(plane, await readRecord(cluster, plane.revision))
    return installer === undefined ? [] : [{ plane, installer }]
  })
  return (await Promise.all(found)).flat()
}

/** istioctl changes and removes only what is in istio-system. */
export function canTakeOver({ metadata }: ControlPlane): boolean {
  return metadata.namespace === systemNamespace
}

/** Somebody else who installed the control plane, as words for a sentence; undefined if mesh-canary did. */
export function otherInstaller(plane: ControlPlane, record: InstallRecord | undefined): string | undefined {
  const { metadata } = plane
  const marked = installerMarkedOn(metadata)
  const isRecorded =
    canTakeOver(plane) && record !== undefined && (record.uid === undefined || record.uid === metadata.uid)
  if (isRecorded && (marked === undefined || marked === record.takenOverFrom)) return undefined
  return marked ?? writerOf(metadata)
}

/** Who says on the object itself that it is theirs; undefined if nobody does. */
export function installerMarkedOn(metadata: Meta): string | undefined {
  return operator(metadata) ?? flux(metadata) ?? argoCd(metadata) ?? helm(metadata) ?? otherTool(metadata)
}

function operator({ ownerReferences = [] }: Meta): string | undefined {
  const owner = ownerReferences.find(({ controller }) => controller) ?? ownerReferences[0]
  return owner && `an operator, for its ${owner.kind} ${owner.name} (${groupOf(owner.apiVersion ?? '') || 'core'})`
}

function flux({ labels = {} }: Meta): string | undefined {
  const nameIn = (group: string) => {
    const [name, namespace] = [
      labels[`${group}.toolkit.fluxcd.io/name`],
      labels[`${group}.toolkit.fluxcd.io/namespace`],
    ]
    return name && (namespace ? `${namespace}/${name}` : name)
  }
  const [release, kustomization] = [nameIn('helm'), nameIn('kustomize')]
  if (release) return `Flux, with its HelmRelease ${release}`
  return kustomization && `Flux, with its Kustomization ${kustomization}`
}

function argoCd({ labels = {}, annotations = {} }: Meta): string | undefined {
  const name = annotations['argocd.argoproj.io/tracking-id']?.split(':')[0] ?? labels['argocd.argoproj.io/instance']
  return name && `Argo CD, with its Application ${name}`
}

/** istioctl sets the label `managed-by: Helm` as well, because it renders the same charts: only the annotation counts. */
function helm({ annotations = {} }: Meta): string | undefined {
  const name = annotations['meta.helm.sh/release-name']
  const namespace = annotations['meta.helm.sh/release-namespace']
  return name && `Helm, as its release ${namespace ? `${namespace}/` : ''}${name}`
}

/** Managed offerings and other tools. */
function otherTool({ labels = {}, namespace = '' }: Meta): string | undefined {
  if (namespace === 'aks-istio-system') return 'Azure (AKS, as its Istio add-on)'
  if (labels['addonmanager.kubernetes.io/mode'] !== undefined) return "the cluster's add-on manager"
  const tool = labels[managedByLabel]
  return tool === undefined || tool === 'Helm' || tool === manager ? undefined : `${tool} (${managedByLabel})`
}

/** These managers write what belongs to whoever installed the object. */
const helpers = ['kube-controller-manager', 'pilot-discovery', 'istioctl', fieldManager]

/** True for programs that write parts of an object without owning it. */
export function isHelper(name: string): boolean {
  return helpers.includes(name)
}

/** Who wrote the object, by its field managers. */
function writerOf({ managedFields = [] }: Meta): string {
  const own = managedFields.filter(({ manager = '', fieldsV1 = {} }) => !isHelper(manager) && 'f:spec' in fieldsV1)
  const names = own.toSorted((a, b) => (a.time ?? '').localeCompare(b.time ?? '')).map(({ manager }) => manager)
  if (names.includes(istioctlManager)) return 'istioctl, without mesh-canary'
  const last = names.at(-1)
  return last === undefined ? 'somebody else' : `${last} (the field manager of its Deployment)`
}
