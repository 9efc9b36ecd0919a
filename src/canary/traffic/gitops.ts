// Whether a GitOps controller owns an object and would put its weights back while a promotion moves them. Pure.
// Of Flux only the object itself tells; of Argo CD also the Application, where it can be read.
import { posix } from 'node:path'
import { fieldManager } from '../../cluster/client.ts'
import { groupOf, keyOf, type KubeObject } from '../../cluster/objects.ts'

/** Of argoproj.io/v1alpha1, as far as it is used. */
type Application = KubeObject & {
  spec?: {
    ignoreDifferences?: Ignored[] | null
    syncPolicy?: { automated?: { selfHeal?: boolean; enabled?: boolean } | null; syncOptions?: string[] }
  }
}
type Ignored = {
  group?: string
  kind: string
  name?: string
  namespace?: string
  jsonPointers?: string[]
  jqPathExpressions?: string[]
  managedFieldsManagers?: string[]
}

/** One sentence for each controller that would. `applications`: those of Argo CD; none when they cannot be read. */
export function gitopsWarnings(object: KubeObject, applications: KubeObject[]): string[] {
  return [...kustomizeDoubts(object), ...helmDoubts(object), ...argoDoubts(object, applications)]
}

const kustomize = 'kustomize.toolkit.fluxcd.io'
const helm = 'helm.toolkit.fluxcd.io'

/** `ssa: Merge` does not help: a list of routes has one owner as a whole. */
function kustomizeDoubts(object: KubeObject): string[] {
  const owner = ownerOf(object, kustomize)
  const left =
    says(object, `${kustomize}/ssa`, 'IfNotPresent', 'Ignore') || says(object, `${kustomize}/reconcile`, 'disabled')
  if (owner === undefined || left) return []
  return [
    `${keyOf(object)} is applied by the Kustomization ${owner} of Flux, which puts its weights back when it reconciles; annotate it in its source with ${kustomize}/ssa: IfNotPresent, or for the time of the promotion in the cluster with ${kustomize}/reconcile: disabled`,
  ]
}

function helmDoubts(object: KubeObject): string[] {
  const owner = ownerOf(object, helm)
  if (owner === undefined || says(object, `${helm}/driftDetection`, 'disabled')) return []
  return [
    `${keyOf(object)} is of the HelmRelease ${owner} of Flux, which puts its weights back where its driftDetection.mode is enabled; have the chart annotate it with ${helm}/driftDetection: disabled, or leave the mode at disabled or warn`,
  ]
}

function ownerOf({ metadata: { labels = {} } }: KubeObject, group: string): string | undefined {
  const [name, namespace] = [labels[`${group}/name`], labels[`${group}/namespace`]]
  return name === undefined || namespace === undefined ? name : `${namespace}/${name}`
}

/** Flux takes labels for annotations, and any case. */
function says({ metadata: { labels = {}, annotations = {} } }: KubeObject, key: string, ...values: string[]): boolean {
  const said = [labels[key], annotations[key]].map((value) => value?.toLowerCase())
  return values.some((value) => said.includes(value.toLowerCase()))
}

const respecting = 'RespectIgnoreDifferences=true'

function argoDoubts(object: KubeObject, applications: Application[]): string[] {
  const name = trackedBy(object, applications)
  if (name === undefined) return []
  const application = applications.find((each) => isNamed(each, name))
  const ignoring = `ignoreDifferences that cover the weights of the ${object.kind} (jqPathExpressions, or managedFieldsManagers: [${fieldManager}])`
  const option = `the sync option ${respecting}`
  if (!application)
    return [
      `${keyOf(object)} is of the Application ${name} of Argo CD, which cannot be read here, so nothing tells whether it would put the weights back; see that it has no automated selfHeal, or ${ignoring} and ${option}`,
    ]
  const lacking = [
    ...(covers(application, object) ? [] : [ignoring]),
    ...(application.spec?.syncPolicy?.syncOptions?.includes(respecting) ? [] : [option]),
  ]
  if (!heals(application) || lacking.length === 0) return []
  return [
    `${keyOf(object)} is of the Application ${name} of Argo CD, which puts its weights back within seconds (syncPolicy.automated.selfHeal); give the Application ${lacking.join(' and ')}, or turn selfHeal off for the time of the promotion`,
  ]
}

/**
 * The name of the Application, by Argo CD's annotation or label. The label that it used by default before version 3 is also
 * set by charts: it counts only where an Application of that name is there.
 */
function trackedBy(object: KubeObject, applications: Application[]): string | undefined {
  const { labels = {}, annotations = {} } = object.metadata
  const id = annotations['argocd.argoproj.io/tracking-id']
  if (id !== undefined) return trackingName(object, id)
  const common = labels['app.kubernetes.io/instance']
  const known = common !== undefined && applications.some((each) => isNamed(each, common))
  return labels['argocd.argoproj.io/instance'] ?? (known ? common : undefined)
}

/** An id that speaks of another object was copied from there, and Argo CD takes no account of it. */
function trackingName({ apiVersion, kind, metadata }: KubeObject, id: string): string | undefined {
  const [name, type, place] = id.split(':')
  return type === `${groupOf(apiVersion)}/${kind}` && place === `${metadata.namespace ?? ''}/${metadata.name}`
    ? name
    : undefined
}

/** One outside Argo CD's own namespace is told with its namespace before its name. */
function isNamed({ metadata }: Application, name: string): boolean {
  return name === metadata.name || name === `${metadata.namespace ?? ''}_${metadata.name}`
}

function heals({ spec }: Application): boolean {
  const { selfHeal = false, enabled = true } = spec?.syncPolicy?.automated ?? {}
  return selfHeal && enabled
}

function covers({ spec }: Application, object: KubeObject): boolean {
  const rules = (spec?.ignoreDifferences ?? []).filter((rule) => isFor(rule, object))
  if (rules.some(({ managedFieldsManagers = [] }) => managedFieldsManagers.includes(fieldManager))) return true
  const patterns = rules.flatMap(({ jsonPointers = [], jqPathExpressions = [] }) => [
    ...jsonPointers.map(pointed),
    ...jqPathExpressions.map(expressed),
  ])
  return weightsIn(object).every((weight) => patterns.some((pattern) => pattern && isWithin(weight, pattern)))
}

function isFor(
  { group = '', kind, name = '', namespace = '' }: Ignored,
  { apiVersion, kind: ours, metadata }: KubeObject,
): boolean {
  const named = (name === '' || name === metadata.name) && (namespace === '' || namespace === metadata.namespace)
  return named && posix.matchesGlob(groupOf(apiVersion), group) && posix.matchesGlob(ours, kind)
}

/** Keys and indices from the root of the object; in a pattern `any` stands for every index. */
type Path = readonly string[]
const any = Symbol('any')
type Pattern = readonly (string | typeof any)[]

function isWithin(path: Path, pattern: Pattern): boolean {
  return pattern.length <= path.length && pattern.every((step, i) => step === any || step === path[i])
}

/** Where the weights are that a promotion may write; a weight that is not written yet has its place too. */
function weightsIn(object: KubeObject & { spec?: Record<string, unknown> }): Path[] {
  return Object.entries({ http: 'route', tcp: 'route', tls: 'route', rules: 'backendRefs' }).flatMap(
    ([section, list]) => {
      const routes = (object.spec?.[section] ?? []) as Record<string, unknown[] | undefined>[]
      return routes.flatMap((route, i) => {
        const targets = route[list] ?? []
        return targets.length < 2 ? [] : targets.map((_, j) => ['spec', section, String(i), list, String(j), 'weight'])
      })
    },
  )
}

/** No key on the way to a weight needs the escapes of a JSON pointer. */
function pointed(pointer: string): Pattern | undefined {
  return pointer.startsWith('/') ? pointer.slice(1).split('/') : undefined
}

/**
 * A jq expression that is a path, such as `.spec.http[].route[].weight`. Which routes a `select` in it picks is left to who
 * wrote it. Undefined for what is not understood, which then covers nothing.
 */
function expressed(expression: string): Pattern | undefined {
  const path = expression
    .replaceAll(/\bselect\([^()]*\)/g, '')
    .split('|')
    .map((part) => part.trim())
    .filter((part) => part !== '.')
    .join('')
  const steps = [...path.matchAll(/\.?\[(?<index>\d*)\]\??|\.?\["(?<quoted>[^"]+)"\]\??|\.(?<key>[A-Za-z_]\w*)\??/g)]
  const isAll = steps.length > 0 && steps.map(([text]) => text).join('') === path
  return isAll
    ? steps.map(({ groups = {} }) => groups['key'] ?? groups['quoted'] ?? (groups['index'] || any))
    : undefined
}
