// Compares the sidecars of pods with those that the control plane injects now. After an upgrade in place they are older,
// although they have the right revision.
import { lt, valid } from 'semver'
import type { Cluster } from '../cluster/client.ts'
import { undefinedWhenForbidden } from '../cluster/api-error.ts'
import { systemNamespace, type ConfigMap, type Pod } from '../cluster/objects.ts'
import { defaultRevision } from './labels.ts'
import { expectsSidecar } from './sidecar.ts'

/** The version of the proxies that the revision injects; undefined if it is unknown, or no version. */
export async function injectedVersion(cluster: Cluster, revision: string): Promise<string | undefined> {
  const name = `istio-sidecar-injector${revision === defaultRevision ? '' : `-${revision}`}`
  const map = await cluster.get<ConfigMap>('ConfigMap', systemNamespace, name).catch(undefinedWhenForbidden)
  try {
    const { global } = JSON.parse(map?.data?.['values'] ?? '{}') as {
      global?: { tag?: string | number; proxy?: Image }
    }
    const image = global?.proxy?.image ?? ''
    return versionOf(image.includes('/') ? image : `:${global?.tag ?? ''}`)
  } catch {
    return undefined
  }
}

type Image = { image?: string }

/** On a pod: an image of the user's choice, which no injection changes. */
const imageAnnotation = 'sidecar.istio.io/proxyImage'

/** True if the pod's sidecar is older than this version. */
export function hasOlderSidecar(pod: Pod, version: string | undefined): boolean {
  const own = proxyVersion(pod)
  const isChosen = pod.metadata.annotations?.[imageAnnotation] !== undefined
  return version !== undefined && own !== undefined && expectsSidecar(pod) && !isChosen && lt(own, version)
}

/** The version of the pod's sidecar by its image; undefined without a sidecar, or if its tag is no version. */
export function proxyVersion({ spec }: Pod): string | undefined {
  const proxy = [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === 'istio-proxy')
  return versionOf((proxy as Image | undefined)?.image ?? '')
}

/** Of `registry:5000/istio/proxyv2:1.31.0-distroless@sha256:…`: 1.31.0. */
function versionOf(image: string): string | undefined {
  const tag = /:([^:/@]+)(@|$)/.exec(image)?.[1] ?? ''
  return valid(tag.replace(/-(distroless|debug)$/, '')) ?? undefined
}
