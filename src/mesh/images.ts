// Finds the images of a control plane and its sidecars in istioctl's manifests, and the nodes that lack one. In a
// cluster without access to a registry, the nodes must already hold the images.
import type { Cluster } from '../cluster/client.ts'
import type { ConfigMap, Container, KubeObject, Node } from '../cluster/objects.ts'

/** `policy`: the imagePullPolicy, if the manifests set one. */
export type Image = { name: string; policy?: string }

/** Pure. `objects`: the manifests of istioctl. Sorted by name. */
export function imagesOf(objects: readonly KubeObject[]): Image[] {
  const all = objects.flatMap((object) => [...workloadImages(object), ...sidecarImages(object)])
  return [...new Map(all.map((image) => [image.name, image])).values()].sort((a, b) => a.name.localeCompare(b.name))
}

type Template = { spec?: { template?: { spec?: { containers?: (Container & { imagePullPolicy?: string })[] } } } }

function workloadImages(object: KubeObject & Template): Image[] {
  if (object.kind !== 'Deployment' && object.kind !== 'DaemonSet') return []
  // `auto` stands for the image that the injector fills in for a gateway.
  const containers = (object.spec?.template?.spec?.containers ?? []).filter(
    ({ image }) => image !== undefined && image !== 'auto',
  )
  return containers.map(({ image, imagePullPolicy }) => imageWith(image!, imagePullPolicy))
}

type InjectorValues = {
  global?: {
    hub?: string
    tag?: string
    variant?: string
    imagePullPolicy?: string
    proxy?: { image?: string }
    proxy_init?: { image?: string }
  }
}

/** Builds the images from the injector's values as the injector itself does. */
function sidecarImages({ kind, metadata, data }: KubeObject & Partial<ConfigMap>): Image[] {
  const isInjector = kind === 'ConfigMap' && metadata.name.startsWith('istio-sidecar-injector')
  if (!isInjector || data?.['values'] === undefined) return []
  const { global } = JSON.parse(data['values']) as InjectorValues
  const { hub, tag, variant, imagePullPolicy, proxy, proxy_init: init } = global ?? {}
  const suffix = variant ? `-${variant}` : ''
  const images = [proxy?.image, init?.image].filter((image) => image !== undefined && image !== '')
  return images.map((image) =>
    imageWith(image!.includes('/') ? image! : `${hub ?? ''}/${image}:${tag ?? ''}${suffix}`, imagePullPolicy),
  )
}

function imageWith(name: string, policy: string | undefined): Image {
  return policy === undefined || policy === '' ? { name } : { name, policy }
}

/** A kubelet reports at most this many images, unless its nodeStatusMaxImages differs. */
const reportedImages = 50

/**
 * Checks the images that are never pulled. `lacks`: one sentence for each image that a node certainly lacks. `unknown`:
 * one for each image that a node may have without reporting it.
 */
export async function missingImages(
  cluster: Cluster,
  images: readonly Image[],
): Promise<{ lacks: string[]; unknown: string[] }> {
  const neverPulled = images.filter(({ policy }) => policy === 'Never')
  if (neverPulled.length === 0) return { lacks: [], unknown: [] }
  const nodes = (await cluster.list<Node>('Node')).filter(({ spec }) => !spec?.unschedulable)
  const found = neverPulled.map(({ name }) => {
    const without = nodes.filter(
      ({ status }) => !status?.images?.some(({ names = [] }) => names.includes(fullName(name))),
    )
    const isUnsure = ({ status }: Node) => (status?.images?.length ?? 0) >= reportedImages
    return {
      name,
      lacking: namesOf(without.filter((node) => !isUnsure(node))),
      unsure: namesOf(without.filter(isUnsure)),
    }
  })
  return {
    lacks: found.filter(({ lacking }) => lacking !== '').map(({ name, lacking }) => `${name} is not on ${lacking}`),
    unknown: found
      .filter(({ unsure }) => unsure !== '')
      .map(
        ({ name, unsure }) =>
          `cannot tell whether ${name} is on ${unsure}, because a node reports only ${reportedImages} images`,
      ),
  }
}

function namesOf(nodes: Node[]): string {
  return nodes.map(({ metadata }) => metadata.name).join(', ')
}

/** The image's name as a node reports it, with registry and tag. */
function fullName(image: string): string {
  const named = withRegistry(image)
  return /[:@][^/]*$/.test(named) ? named : `${named}:latest`
}

function withRegistry(image: string): string {
  const [first = '', ...rest] = image.split('/')
  if (rest.length === 0) return `docker.io/library/${image}`
  return /[.:]|^localhost$/.test(first) ? image : `docker.io/${image}`
}
