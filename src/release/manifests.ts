// Takes the new Deployment, and the ConfigMaps and Secrets of its pods, out of the manifests of a release. Pure but for
// reading the files.
import { isDeepStrictEqual } from 'node:util'
import { hash } from '../canary/workload/fingerprint.ts'
import { matches, selectorText } from '../cluster/labels.ts'
import type { ConfigMap, KubeObject, Service, Workload } from '../cluster/objects.ts'
import { nearest } from '../config/nearest.ts'
import { parseManifests, type Sourced } from '../policies/manifests/manifests.ts'
import type { Template } from './deployment.ts'
import { NotReleasable } from './workload.ts'

export type Rendered = { template: Template; configs: KubeObject[] }

/** @throws ConfigError for a file that cannot be read; NotReleasable if the Deployment does not fit that in the cluster. */
export function readRelease(key: string, patterns: readonly string[], stable: Workload, service: Service): Rendered {
  const found = parseManifests(key, patterns)
  const template = requireTemplate(deploymentIn(found, stable), stable, service)
  const namespace = stable.metadata.namespace ?? ''
  const used = referencesOf(template)
  const configs = found
    .map(({ object }) => object)
    .filter(({ kind, metadata }) => {
      const isHere = (metadata.namespace ?? namespace) === namespace
      return isHere && used.some((each) => each.kind === kind && each.name === metadata.name)
    })
  return { template, configs: configs.map((each) => ({ ...each, metadata: { ...each.metadata, namespace } })) }
}

function deploymentIn(found: readonly Sourced[], stable: Workload): Sourced {
  const { name, namespace = '' } = stable.metadata
  const workloads = found.filter(({ object }) => /^(Deployment|StatefulSet|DaemonSet)$/.test(object.kind))
  const named = workloads.filter(({ object }) => object.metadata.name === name)
  const [first, second] = named.filter(({ object }) => object.kind === 'Deployment')
  const other = named.find(({ object }) => object.kind !== 'Deployment')
  if (!first && other)
    throw new NotReleasable(
      `${other.source}: ${name} is a ${other.object.kind} here and a Deployment in the cluster; a run releases ` +
        'Deployments only, because a second set of the pods would need volumes and names of its own',
    )
  if (!first) {
    const names = workloads.map(({ object }) => object.metadata.name)
    throw new NotReleasable(
      `there is no Deployment ${name} in these manifests, and it is the one behind the Service; they have ` +
        (names.length > 0 ? `${names.join(', ')}${nearest(name, names)}` : 'no workload at all'),
    )
  }
  if (second)
    throw new NotReleasable(`the Deployment ${name} is at ${first.source} and at ${second.source}; remove one of them`)
  const own = first.object.metadata.namespace ?? namespace
  if (own !== namespace)
    throw new NotReleasable(
      `${first.source}: the Deployment ${name} is for the namespace ${own}, and the run is for ${namespace}; render it ` +
        `for ${namespace}, or set \`namespace: ${own}\``,
    )
  return first
}

/** What a person has written, so any part may be missing. */
type Written = { selector?: { matchLabels?: Record<string, string> }; template?: Partial<Template> }

/** Kubernetes does not change a selector, and the Service has to find the pods afterwards. */
function requireTemplate({ object, source }: Sourced, stable: Workload, { spec, metadata }: Service): Template {
  const { selector: { matchLabels = {} } = {}, template } = (object.spec ?? {}) as Written
  const now = stable.spec.selector.matchLabels ?? {}
  const title = `${source}: the Deployment ${object.metadata.name}`
  if (!isDeepStrictEqual(matchLabels, now))
    throw new NotReleasable(
      `${title} selects ${selectorText(matchLabels)}, and in the cluster ${selectorText(now)}, which Kubernetes never ` +
        'changes; keep the selector, and put labels that change with each release into the template only',
    )
  const required = { ...spec.selector, ...now }
  if (!matches(required, template?.metadata?.labels))
    throw new NotReleasable(
      `${title}: its pods lack labels by which the Service ${metadata.name} or the Deployment selects ` +
        `(${selectorText(required)}); add them to the template`,
    )
  if (!template?.spec?.containers) throw new NotReleasable(`${title} has no containers; add them to its template`)
  return template as Template
}

type Reference = { kind: 'ConfigMap' | 'Secret'; name: string }

/** The keys of a pod's spec that name a ConfigMap or a Secret, and the key of the name in them. */
const referenceKeys: Record<string, { kind: Reference['kind']; key: string }> = {
  configMap: { kind: 'ConfigMap', key: 'name' },
  configMapRef: { kind: 'ConfigMap', key: 'name' },
  configMapKeyRef: { kind: 'ConfigMap', key: 'name' },
  secretRef: { kind: 'Secret', key: 'name' },
  secretKeyRef: { kind: 'Secret', key: 'name' },
}

/** A Secret has its name under `secretName` in a volume, and under `name` in a projected one. */
function referenceAt(key: string, value: object): { kind: Reference['kind']; key: string } | undefined {
  if (key === 'secret') return { kind: 'Secret', key: 'secretName' in value ? 'secretName' : 'name' }
  return referenceKeys[key]
}

function referencesOf(value: unknown): Reference[] {
  const found: Reference[] = []
  renamed(value, (reference) => {
    found.push(reference)
    return reference.name
  })
  return found
}

/** The value with another name for each ConfigMap and Secret that it refers to. */
export function renamed<T>(value: T, nameOf: (reference: Reference) => string): T {
  if (Array.isArray(value)) return value.map((each: unknown) => renamed(each, nameOf)) as T
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, each]: [string, unknown]) => {
    const at = typeof each === 'object' && each !== null ? referenceAt(key, each) : undefined
    const name = at && (each as Record<string, unknown>)[at.key]
    if (!at || typeof name !== 'string') return [key, renamed(each, nameOf)] as const
    return [key, { ...(each as object), [at.key]: nameOf({ kind: at.kind, name }) }] as const
  })
  return Object.fromEntries(entries) as T
}

type Data = ConfigMap & { binaryData?: Record<string, string>; stringData?: Record<string, string> }

/** True if both hold the same data. */
export function hasSameData(one: KubeObject, other: KubeObject): boolean {
  return isDeepStrictEqual(dataOf(one), dataOf(other))
}

/** The same for the same data, in whatever form it is written. */
export function dataHash(objects: readonly KubeObject[]): string {
  return hash(objects.map((each) => [each.kind, each.metadata.name, dataOf(each)]))
}

/** All values in base64. */
export function dataOf(object: KubeObject): Record<string, string> {
  const { kind, data = {}, binaryData = {}, stringData = {} } = object as Data
  const encoded = (pairs: Record<string, string>) =>
    Object.fromEntries(Object.entries(pairs).map(([key, text]) => [key, Buffer.from(text).toString('base64')]))
  return kind === 'Secret' ? { ...data, ...encoded(stringData) } : { ...encoded(data), ...binaryData }
}
