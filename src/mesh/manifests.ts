// The objects in what `istioctl manifest generate` prints.
import type { KubeObject } from '../cluster/objects.ts'
import { isMap } from '../runtime/is-map.ts'
import { YamlError } from '../yaml/faults.ts'
import { parseAll } from '../yaml/parse.ts'

/** Pure. istioctl prints valid YAML. If a document cannot be read, only its object is missing. */
export function objectsIn(manifests: string): KubeObject[] {
  return parseAll(manifests).flatMap((document) =>
    document instanceof YamlError || !isMap(document.value) ? [] : [document.value as unknown as KubeObject],
  )
}

/** Keys of ConfigMaps that hold YAML or JSON. The rest of their data is compared as text. */
const documentKeys = ['mesh', 'meshNetworks', 'values']

/** What an object of the control plane says, without what the server adds: the mesh config as values, not as text. */
export function contentOf(object: KubeObject): Record<string, unknown> {
  const {
    apiVersion: _version,
    kind: _kind,
    metadata,
    status: _status,
    ...rest
  } = object as KubeObject & {
    status?: unknown
    data?: Record<string, unknown>
  }
  const data = rest.data && {
    data: Object.fromEntries(Object.entries(rest.data).map(([key, value]) => [key, valueOf(key, value)])),
  }
  return { labels: ownLabels(metadata.labels), annotations: metadata.annotations, ...rest, ...data }
}

function valueOf(key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !documentKeys.includes(key)) return value
  const [document] = parseAll(value)
  return document === undefined || document instanceof YamlError ? value : document.value
}

/** istioctl adds these labels only when it applies an object. */
export function isInstallLabel(name: string): boolean {
  return name.includes('operator.istio.io/') || name === 'istio.io/rev'
}

function ownLabels(labels: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !isInstallLabel(name)))
}
