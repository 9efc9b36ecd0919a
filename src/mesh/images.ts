// The images that a control plane and its sidecars are made of, from the manifests that istioctl would apply, and which
// nodes lack one: a cluster without a way to a registry must hold them before.
import type { Cluster } from '../cluster/client.ts'
import type { ConfigMap, Container, KubeObject, Node } from '../cluster/objects.ts'
import { YamlError } from '../yaml/faults.ts'
import { parseAll } from '../yaml/parse.ts'

/** `policy`: when it is pulled, where that is said. */
export type Image = { name: string; policy?: string }

/** Pure: `manifests` is what `istioctl manifest generate` prints. Sorted by name. */
export function imagesOf(manifests: string): Image[] {
  // istioctl prints valid YAML; a document that cannot be read only leaves its images out.
  const objects = parseAll(manifests).map((document) =>
    document instanceof YamlError ? null : (document.value as (KubeObject & Partial<ConfigMap>) | null),
  )
  const all = objects.flatMap((object) => (object === null ? [] : [...ofContainers(object), ...ofSidecars(object)]))
  return [...new Map(all.map((image) => [image.name, image])).values()].sort((a, b) => a.name.localeCompare(b.name))
}

type Template = { spec?: { template?: { spec?: { containers?: (Container & { imagePullPolicy?: string })[] } } } }

function ofContainers(object: KubeObject & Template): Image[] {
  if (object.kind !== 'Deployment' && object.kind !== 'DaemonSet') return []
  // `auto` is what a gateway's injected container has until it is injected.
  const containers = (object.spec?.template?.spec?.containers ?? []).filter(
    ({ image }) => image !== undefined && image !== 'auto',
  )
  return containers.map(({ image, imagePullPolicy: policy }) => ({
    name: image!,
    ...(policy === undefined ? {} : { policy }),
  }))
}

type Values = {
  global?: {
    hub?: string
    tag?: string
    variant?: string
    imagePullPolicy?: string
    proxy?: { image?: string }
    proxy_init?: { image?: string }
  }
}

/** As the injector puts them together from the values that it works with. */
function ofSidecars({ kind, metadata, data }: KubeObject & Partial<ConfigMap>): Image[] {
  if (kind !== 'ConfigMap' || !metadata.name.startsWith('istio-sidecar-injector') || data?.['values'] === undefined)
    return []
  const {
    hub,
    tag,
    variant,
    imagePullPolicy: policy,
    proxy,
    proxy_init: init,
  } = (JSON.parse(data['values']) as Values).global ?? {}
  const suffix = variant === undefined || variant === '' ? '' : `-${variant}`
  const whole = (image: string) => (image.includes('/') ? image : `${hub ?? ''}/${image}:${tag ?? ''}${suffix}`)
  const names = [proxy?.image, init?.image].filter((image) => image !== undefined && image !== '')
  return names.map((image) => ({ name: whole(image!), ...(policy === undefined || policy === '' ? {} : { policy }) }))
}

/** A kubelet tells of so many images and no more, unless set otherwise. */
const told = 50

/** Of images that are never pulled: a sentence for each that a node surely lacks, and for each of which a node does not tell. */
export async function missing(
  cluster: Cluster,
  images: readonly Image[],
): Promise<{ lacks: string[]; unknown: string[] }> {
  const never = images.filter(({ policy }) => policy === 'Never')
  const nodes = never.length === 0 ? [] : (await cluster.list<Node>('Node')).filter(({ spec }) => !spec?.unschedulable)
  const found = never.flatMap(({ name }) => {
    const without = nodes.filter(({ status }) => !status?.images?.some(({ names = [] }) => names.includes(full(name))))
    const silent = without.filter(({ status }) => (status?.images?.length ?? 0) >= told)
    const surely = without.filter((node) => !silent.includes(node))
    return [{ name, surely: titles(surely), silent: titles(silent) }]
  })
  return {
    lacks: found.filter(({ surely }) => surely !== '').map(({ name, surely }) => `${name} is not on ${surely}`),
    unknown: found
      .filter(({ silent }) => silent !== '')
      .map(
        ({ name, silent }) => `whether ${name} is on ${silent} is not known, for a node tells of ${told} images only`,
      ),
  }
}

function titles(nodes: Node[]): string {
  return nodes.map(({ metadata }) => metadata.name).join(', ')
}

/** As a node names it. */
function full(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const named =
    rest.length === 0 ? `docker.io/library/${image}` : /[.:]|^localhost$/.test(first) ? image : `docker.io/${image}`
  return /[:@][^/]*$/.test(named) ? named : `${named}:latest`
}
