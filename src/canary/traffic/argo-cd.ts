// Checks whether an Application of Argo CD manages an object and would reset its weights. Pure.
import { posix } from 'node:path'
import { fieldManager } from '../../cluster/client.ts'
import { groupOf, keyOf, type KubeObject } from '../../cluster/objects.ts'
import { ignoresWeights } from './ignored-weights.ts'

/** An Application of argoproj.io/v1alpha1, as far as we read it. */
type Application = KubeObject & {
  spec?: {
    ignoreDifferences?: IgnoreRule[] | null
    syncPolicy?: { automated?: { selfHeal?: boolean; enabled?: boolean } | null; syncOptions?: string[] }
  }
}
type IgnoreRule = {
  group?: string
  kind: string
  name?: string
  namespace?: string
  jsonPointers?: string[]
  jqPathExpressions?: string[]
  managedFieldsManagers?: string[]
}

const respectIgnores = 'RespectIgnoreDifferences=true'
const syncOption = `the sync option ${respectIgnores}`

/** An Application that cannot be read may reset the weights or not, and the warning says so. */
export function argoCdWarnings(object: KubeObject, applications: Application[]): string[] {
  const name = applicationOf(object, applications)
  if (name === undefined) return []
  const managed = `Argo CD manages ${keyOf(object)} with the Application ${name}`
  const ignoreRules =
    `ignoreDifferences for the weights of the ${object.kind} ` +
    `(jqPathExpressions, or managedFieldsManagers: [${fieldManager}])`
  const application = applications.find((each) => isNamed(each, name))
  if (!application)
    return [
      `${managed}, and this run cannot read the Application, so Argo CD may undo the weights; ` +
        `check that the Application has no automated selfHeal, or has ${ignoreRules} and ${syncOption}`,
    ]
  const missing = [
    ...(coversWeights(application, object) ? [] : [ignoreRules]),
    ...(application.spec?.syncPolicy?.syncOptions?.includes(respectIgnores) ? [] : [syncOption]),
  ]
  if (!selfHeals(application) || missing.length === 0) return []
  return [
    `${managed} and resets its weights within seconds (syncPolicy.automated.selfHeal); ` +
      `add ${missing.join(' and ')} to the Application, or turn selfHeal off during the promotion`,
  ]
}

/**
 * The name of the Application, from Argo CD's annotation or label. Charts also set the label that Argo CD used by
 * default before version 3: it counts only if an Application of that name exists.
 */
export function applicationOf(object: KubeObject, applications: Application[]): string | undefined {
  const { labels = {}, annotations = {} } = object.metadata
  const trackingId = annotations['argocd.argoproj.io/tracking-id']
  if (trackingId !== undefined) return trackedApplication(object, trackingId)
  const instance = labels['app.kubernetes.io/instance']
  const exists = instance !== undefined && applications.some((each) => isNamed(each, instance))
  return labels['argocd.argoproj.io/instance'] ?? (exists ? instance : undefined)
}

/** Argo CD ignores a tracking id that names another object: it was copied from there. */
function trackedApplication({ apiVersion, kind, metadata }: KubeObject, trackingId: string): string | undefined {
  const [application, type, object] = trackingId.split(':')
  const isForType = type === `${groupOf(apiVersion)}/${kind}`
  return isForType && object === `${metadata.namespace ?? ''}/${metadata.name}` ? application : undefined
}

/** The name of an Application outside Argo CD's own namespace begins with its namespace. */
export function isNamed({ metadata }: Application, name: string): boolean {
  return name === metadata.name || name === `${metadata.namespace ?? ''}_${metadata.name}`
}

function selfHeals({ spec }: Application): boolean {
  const { selfHeal = false, enabled = true } = spec?.syncPolicy?.automated ?? {}
  return selfHeal && enabled
}

function coversWeights({ spec }: Application, object: KubeObject): boolean {
  const rules = (spec?.ignoreDifferences ?? []).filter((rule) => appliesTo(rule, object))
  if (rules.some(({ managedFieldsManagers = [] }) => managedFieldsManagers.includes(fieldManager))) return true
  return ignoresWeights(
    object,
    rules.flatMap(({ jsonPointers = [] }) => jsonPointers),
    rules.flatMap(({ jqPathExpressions = [] }) => jqPathExpressions),
  )
}

function appliesTo(rule: IgnoreRule, { apiVersion, kind, metadata }: KubeObject): boolean {
  const { group = '', name = '', namespace = '' } = rule
  const isNamedSo = (name === '' || name === metadata.name) && (namespace === '' || namespace === metadata.namespace)
  return isNamedSo && posix.matchesGlob(groupOf(apiVersion), group) && posix.matchesGlob(kind, rule.kind)
}
