// Checks the fields of a manifest against the CRDs of Istio and of the Gateway API, without a cluster. The table of
// fields comes from dev/crd-fields.ts. What a CRD says beyond fields and types, the API server and istiod check.
import { minVersion } from 'semver'
import { groupOf, type Kind, type KubeObject } from '../cluster/objects.ts'
import { nearest } from '../config/nearest.ts'
import table from './crd-fields.json' with { type: 'json' }

/**
 * A type as text: `string`, `integer`, `number`, `boolean`, `intOrString`, `any`, words joined by `|`, `#3` for a map
 * with the fields of the third definition, `[]` before the type of a list's items, or `{}` before that of a map's
 * values. A field's type may end in `!` (required), and in `@` with the first version of Istio that has the field.
 */
const definitions: Record<string, string>[] = table.definitions
const kinds: Record<string, string> = table.kinds

export type FieldPath = (string | number)[]
/** `says` begins with the field. */
export type FieldFault = { path: FieldPath; says: string }

/** Fields that a server writes, or that `policies` ignores. */
const otherMetadata =
  'creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation managedFields ' +
  'namespace ownerReferences resourceVersion selfLink uid'
const metadataFields: Record<string, string> = {
  ...Object.fromEntries(otherMetadata.split(' ').map((key) => [key, 'any'])),
  name: 'string!',
  labels: '{}string',
  annotations: '{}string',
}

/** Kinds that Istio accepts without a `spec`, but that have no meaning without one. */
const needSpec: Kind[] = ['VirtualService', 'DestinationRule']

/** `istioVersion`: of the config, a version or a range. Fields are not checked against a version newer than the table. */
export function fieldFaults(kind: Kind, object: KubeObject, istioVersion = 'latest'): FieldFault[] {
  const { spec = '', ...content } = definitions[Number(kinds[kind]!.slice(1))]!
  const checker = new FieldChecker(apiName(object.apiVersion), istioVersion)
  checker.checkMap(metadataFields, object.metadata, ['metadata'])
  const needed = needSpec.includes(kind) ? `${spec}!` : spec
  checker.checkMap(
    { ...content, spec: needed, apiVersion: 'string', kind: 'string', metadata: 'any', status: 'any' },
    object,
    [],
  )
  return checker.faults
}

function apiName(apiVersion: string): string {
  return groupOf(apiVersion).endsWith('.istio.io') ? `Istio ${table.istio.join(' and ')}` : 'the Gateway API'
}

class FieldChecker {
  readonly faults: FieldFault[] = []
  private readonly api: string
  /** The oldest minor version that the config allows, such as 31; undefined for `latest`. */
  private readonly oldest: number | undefined

  constructor(api: string, istioVersion: string) {
    this.api = api
    this.oldest = istioVersion === 'latest' ? undefined : minVersion(istioVersion)?.minor
  }

  checkMap(fields: Record<string, string>, value: unknown, path: FieldPath): void {
    if (!isMap(value)) return this.expect('a map of keys', path)
    for (const key of Object.keys(value)) if (!Object.hasOwn(fields, key)) this.unknown(key, Object.keys(fields), path)
    for (const [key, text] of Object.entries(fields)) {
      const [, type = '', required, since] = /^(.*?)(!)?(?:@(.*))?$/.exec(text)!
      const field = value[key] ?? undefined
      if (field !== undefined) this.check(type, field, [...path, key])
      else if (required !== undefined) this.expect(typeName(type), [...path, key])
      if (field !== undefined && since !== undefined) this.checkSince(since, [...path, key])
    }
  }

  private check(type: string, value: unknown, path: FieldPath): void {
    if (type === 'any') return
    if (type.startsWith('#')) return this.checkMap(definitions[Number(type.slice(1))]!, value, path)
    if (type.startsWith('[]')) {
      if (!Array.isArray(value)) return this.expect('a list', path)
      return value.forEach((item, i) => this.check(type.slice(2), item, [...path, i]))
    }
    if (type.startsWith('{}')) {
      if (!isMap(value)) return this.expect('a map of keys', path)
      return Object.entries(value).forEach(([key, each]) => this.check(type.slice(2), each, [...path, key]))
    }
    if (!isScalar(type, value)) this.expect(typeName(type), path)
  }

  private unknown(key: string, known: string[], path: FieldPath): void {
    if (this.oldest !== undefined && this.oldest > newestMinor) return
    const says = `${dotted([...path, key])}: there is no such field in ${this.api}${nearest(key, known)}`
    this.faults.push({ path: [...path, key], says })
  }

  private checkSince(since: string, path: FieldPath): void {
    if (this.oldest === undefined || this.oldest >= minorOf(since)) return
    const says = `${dotted(path)}: needs Istio ${since}, but \`istio.version\` allows 1.${this.oldest}; remove the field`
    this.faults.push({ path, says: `${says}, or ask for ${since}` })
  }

  private expect(expected: string, path: FieldPath): void {
    this.faults.push({ path, says: `${dotted(path)}: expected ${expected}` })
  }
}

const minorOf = (version: string) => Number(version.split('.')[1])
const newestMinor = minorOf(table.istio.at(-1)!)

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isScalar(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'intOrString') return typeof value === 'string' || Number.isInteger(value)
  if (type === 'string' || type === 'number' || type === 'boolean') return typeof value === type
  return (typeof value === 'string' || typeof value === 'number') && type.split('|').includes(String(value))
}

const typeNames: Record<string, string> = {
  string: 'a text (in quotes where YAML would read another type)',
  integer: 'a whole number (without quotes)',
  number: 'a number (without quotes)',
  boolean: 'true or false (without quotes)',
  intOrString: 'a whole number or a text',
}

function typeName(type: string): string {
  if (type.startsWith('[]')) return 'a list'
  if (type.startsWith('#') || type.startsWith('{}')) return 'a map of keys'
  return typeNames[type] ?? `one of ${type.split('|').filter(Boolean).join(', ')}`
}

function dotted(path: FieldPath): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('')
}
