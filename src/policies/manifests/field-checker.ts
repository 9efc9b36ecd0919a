// Checks the fields of an object against a table of fields and their types, as dev/crd-fields.ts makes it from CRDs.
import { nearest } from '../../config/nearest.ts'
import { isMap } from '../../runtime/is-map.ts'

/**
 * A type as text: `string`, `integer`, `number`, `boolean`, `intOrString`, `any`, words joined by `|`, `#3` for a map
 * with the fields of the third definition, `[]` before the type of a list's items, or `{}` before that of a map's
 * values. A field's type may end in `!` (required), and in `@` with the first version of Istio that has the field.
 */
export type Definitions = readonly Readonly<Record<string, string>>[]

export type FieldPath = (string | number)[]
/** `says` begins with the field. `isUnknown`: there is no such field; otherwise its value is wrong, or missing. */
export type FieldFault = { path: FieldPath; says: string; isUnknown?: true }

/** The fields of every object's metadata: most are written by a server. */
const otherMetadata =
  'creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation managedFields ' +
  'namespace ownerReferences resourceVersion selfLink uid'
export const metadataFields: Record<string, string> = {
  ...Object.fromEntries(otherMetadata.split(' ').map((key) => [key, 'any'])),
  name: 'string!',
  labels: '{}string',
  annotations: '{}string',
}

/** Collects the faults of one object. */
export class FieldChecker {
  readonly faults: FieldFault[] = []
  private readonly definitions: Definitions
  private readonly api: string
  private readonly versions: { oldest: number; newest: number } | undefined

  /**
   * `api`: whose fields these are. `versions`: the oldest minor version that the config allows, such as 31, and the newest
   * that the definitions know. Fields are not checked against a version newer than these.
   */
  constructor(definitions: Definitions, api: string, versions?: { oldest: number; newest: number }) {
    this.definitions = definitions
    this.api = api
    this.versions = versions
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
    if (type.startsWith('#')) return this.checkMap(this.definitions[Number(type.slice(1))]!, value, path)
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
    if (this.versions && this.versions.oldest > this.versions.newest) return
    const says = `${dotted([...path, key])}: there is no such field in ${this.api}${nearest(key, known)}`
    this.faults.push({ path: [...path, key], says, isUnknown: true })
  }

  private checkSince(since: string, path: FieldPath): void {
    if (!this.versions || this.versions.oldest >= minorOf(since)) return
    const { oldest } = this.versions
    const says = `${dotted(path)}: needs Istio ${since}, but \`istio.version\` allows 1.${oldest}; remove the field`
    this.faults.push({ path, says: `${says}, or ask for ${since}` })
  }

  private expect(expected: string, path: FieldPath): void {
    this.faults.push({ path, says: `${dotted(path)}: expected ${expected}` })
  }
}

export const minorOf = (version: string) => Number(version.split('.')[1])

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

/** A path with dots, and with the numbers of items in brackets. */
export function dotted(path: FieldPath): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${key}`)).join('')
}
