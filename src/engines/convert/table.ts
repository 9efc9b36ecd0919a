// Tables of counterparts: the fields of an engine's objects and the keys of mesh.yaml. The converter takes from them what
// it says of a field without a counterpart, and the pages docs/from-*.md show them.
import type { Path } from '../../yaml/positions.ts'

/**
 * `field`: its path in objects of the kind, with `[]` for every item of a list and `*` for every key of a map; a row
 * covers all that is below. `key`: the key of mesh.yaml; without one, there is no counterpart. `says`: for a field with a
 * counterpart, what to know about it, or nothing; otherwise why there is none, or what to do instead.
 */
export type Row = { kind: string; field: string; key?: string; says: string }
export type Table = readonly Row[]

/** Of every object. */
const common: Omit<Row, 'kind'>[] = [
  { field: 'apiVersion', says: 'mesh.yaml holds no objects' },
  { field: 'kind', says: 'mesh.yaml holds no objects' },
  { field: 'metadata.labels', says: 'mesh.yaml holds no objects that could have labels' },
  { field: 'metadata.annotations', says: 'mesh.yaml holds no objects that could have annotations' },
  { field: 'metadata', says: 'the API server writes it' },
  { field: 'status', says: 'the controller writes it' },
]

/** The path as a row writes it. */
function isOfRow(path: Path, field: string): boolean {
  const steps = field === '' ? [] : field.replaceAll('[]', '.[]').split('.')
  return steps.length <= path.length && steps.every((step, i) => fits(path[i]!, step))
}

function fits(key: string | number, step: string): boolean {
  return step === '*' || (typeof key === 'number' ? step === '[]' : step === key)
}

/** What the table says of the field: the row with the longest path that covers it. */
export function rowOf(table: Table, kind: string, path: Path, value: unknown): string {
  const own = rowFor(table, kind, path)
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return 'empty, as without it'
  // Everything that is on unless it is said to be off has a counterpart.
  if (own && value === false) return 'off, as without it'
  if (own) return own.key === undefined ? own.says : `this value has no counterpart${own.says && `: ${own.says}`}`
  const found = common.filter(({ field }) => isOfRow(path, field)).sort(longestFirst)[0]
  return found?.says ?? 'mesh-canary does not know this field; if it has a meaning, look for it in the reference'
}

/** The row with the longest path that covers the field. */
export function rowFor(table: Table, kind: string, path: Path): Row | undefined {
  return table.filter((row) => row.kind === kind && isOfRow(path, row.field)).sort(longestFirst)[0]
}

function longestFirst(a: { field: string }, b: { field: string }): number {
  return b.field.length - a.field.length
}

/** Whether the table has rows for parts of the value at the path. */
export function rowsBelow(table: Table, kind: string, path: Path): boolean {
  const fields = [...table.filter((row) => row.kind === kind), ...common].map(({ field }) => field)
  return fields.some((field) => {
    const steps = field.replaceAll('[]', '.[]').split('.')
    return steps.length > path.length && path.every((key, i) => fits(key, steps[i]!))
  })
}
