// Finds the parts of the mesh that an uninstall leaves, because somebody else installed them.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import { titleOf, type KubeObject } from '../cluster/objects.ts'
import { canTakeOver, foreignControlPlanes, installerMarkedOn } from '../mesh/installer.ts'
import { defaultRevision } from '../mesh/labels.ts'
import { ofRevision, readRecord, remoteInjectors, type ControlPlane } from '../mesh/revisions.ts'

/** One sentence for each control plane that stays; none for those that the run takes over. */
export async function keptControlPlanes(
  cluster: Cluster,
  all: readonly ControlPlane[],
  takesOver: boolean,
): Promise<string[]> {
  const foreign = await foreignControlPlanes(cluster, all)
  return foreign
    .filter(({ plane }) => !takesOver || !canTakeOver(plane))
    .map(({ plane, installer }) => keptFor(`the control plane ${plane.revision}`, installer, canTakeOver(plane)))
}

/** One sentence for each part that stays: control planes, in this cluster or outside it, and Istio's CRDs. */
export async function keptParts(cluster: Cluster, all: readonly ControlPlane[], takesOver: boolean): Promise<string[]> {
  const planes = await keptControlPlanes(cluster, all, takesOver)
  if (planes.length > 0 || takesOver) return planes
  // Beside a control plane of its own, the run has installed the CRDs too, whoever had them before.
  const crds = all.length > 0 ? [] : await foreignCrds(cluster)
  return [...(await outsidePlanes(cluster, all)), ...crds]
}

/** A cluster that another one's control plane serves has its injector and no istiod. */
async function outsidePlanes(cluster: Cluster, all: readonly ControlPlane[]): Promise<string[]> {
  const injectors = (await remoteInjectors(cluster)).filter(({ revision }) => ofRevision(all, revision) === undefined)
  const records = await Promise.all(injectors.map(({ revision }) => readRecord(cluster, revision)))
  return injectors
    .filter((_, i) => records[i] === undefined)
    .map(({ name, revision }) =>
      keptFor(
        `the control plane ${revision}`,
        `whoever runs it outside this cluster (MutatingWebhookConfiguration ${name})`,
      ),
    )
}

/** After a takeover they still have the marks of their first installer. */
async function foreignCrds(cluster: Cluster): Promise<string[]> {
  if ((await readRecord(cluster, defaultRevision))?.takenOverFrom !== undefined) return []
  const crds = await cluster.list<KubeObject>('CustomResourceDefinition').catch(emptyWhenUnread)
  const [marked] = crds.filter(
    ({ metadata }) => metadata.name.endsWith('.istio.io') && installerMarkedOn(metadata) !== undefined,
  )
  return marked ? [keptFor(`the ${titleOf(marked)}`, installerMarkedOn(marked.metadata)!)] : []
}

function keptFor(what: string, installer: string, takeable = true): string {
  const remedy = takeable ? ', or set `istio.takeOver: true` to let this run remove it' : ''
  return `${what} stays, because mesh-canary did not install it, but ${installer}; remove it there${remedy}`
}
