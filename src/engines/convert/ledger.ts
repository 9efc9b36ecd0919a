// Keeps account of a conversion: which fields of the source are in the result, and what is said of the others. Nothing
// that the source contains can get lost, because `list` goes through all of it.
import { ConfigError } from '../../config/error.ts'
import { shownValue } from '../../config/shown.ts'
import { dotted } from '../../policies/manifests/field-checker.ts'
import { isMap } from '../../runtime/is-map.ts'
import { valueAt, type Path } from '../../yaml/positions.ts'
import { rowOf, rowsBelow, type Table } from './table.ts'
import type { SourceObject } from './source.ts'

/**
 * A line of the list. `left`: the field is not in the result. `differs`: it is, with another meaning. `assumed`: the
 * result says something that the source does not; such an entry has no value. `default`: the source does not have the
 * field, and what holds without it is not in the result.
 */
export type Entry = {
  about: 'left' | 'default' | 'differs' | 'assumed'
  object: SourceObject
  path: Path
  value: unknown
  says: string
}

export class Ledger {
  private readonly taken = new Map<SourceObject, Path[]>()
  private readonly entries: Entry[] = []
  private readonly unknown = new Map<SourceObject, Path[]>()

  /** The API server drops the field, because it does not know it: it is read by nobody. */
  drop(object: SourceObject, path: Path, says: string): void {
    this.unknown.set(object, [...(this.unknown.get(object) ?? []), path])
    this.note({ about: 'left', object, path, value: valueAt(object.value, path), says })
  }

  /** The object without the fields that are dropped. */
  known(object: SourceObject): unknown {
    const value = structuredClone(object.value)
    for (const path of this.unknown.get(object) ?? []) {
      const parent = valueAt(value, path.slice(0, -1)) as Record<string | number, unknown>
      Reflect.deleteProperty(parent, path.at(-1)!)
    }
    return value
  }

  take(object: SourceObject, path: Path): void {
    this.taken.set(object, [...(this.taken.get(object) ?? []), path])
  }

  note(entry: Entry): void {
    const isKnown = this.entries.some(
      ({ about, object, path, says }) =>
        about === entry.about && object === entry.object && same(path, entry.path) && says === entry.says,
    )
    if (!isKnown) this.entries.push(entry)
  }

  /** Whether the field is in the result, with the same meaning or another. */
  isTaken(object: SourceObject, path: Path): boolean {
    return (this.taken.get(object) ?? []).some((each) => startsWith(path, each))
  }

  /** All entries, with one for each field that is neither taken nor noted. The table says why. */
  list(objects: readonly SourceObject[], table: Table): Entry[] {
    const rest = objects.flatMap((object) => this.restOf(object, object.value, [], table))
    const order = ({ object, path }: Entry) => [objects.indexOf(object), lineOf(object.place(path))] as const
    return [...this.entries.filter((entry) => !this.isBelowOther(entry)), ...rest].sort((a, b) => {
      const [[object, line], [otherObject, otherLine]] = [order(a), order(b)]
      return object - otherObject || line - otherLine
    })
  }

  /** Whether the whole that the field is part of is left out, or the field for a reason noted before. */
  private isBelowOther(entry: Entry): boolean {
    const isOther = (other: Entry) =>
      other.object === entry.object && other.about === 'left' && startsWith(entry.path, other.path)
    const first = this.entries.filter(isOther).toSorted((a, b) => a.path.length - b.path.length)[0]
    return entry.about === 'left' && first !== entry
  }

  private restOf(object: SourceObject, value: unknown, path: Path, table: Table): Entry[] {
    const taken = this.taken.get(object) ?? []
    const left = this.entries.filter((each) => each.object === object && each.about === 'left').map(({ path }) => path)
    const marks = [...taken, ...left]
    if (marks.some((mark) => same(mark, path))) return []
    const isMarkedBelow = marks.some((mark) => startsWith(mark, path))
    const children = childrenOf(value)
    const whole = (says: string): Entry => ({ about: 'left', object, path, value, says })
    if (children.length === 0 || !(isMarkedBelow || rowsBelow(table, object.kind, path)))
      return [whole(rowOf(table, object.kind, path, value))]
    const entries = children.flatMap(([key, child]) => this.restOf(object, child, [...path, key], table))
    const reasons = [...new Set(entries.map(({ says }) => says))]
    return isMarkedBelow || reasons.length > 1 ? entries : [whole(reasons[0]!)]
  }
}

function lineOf(place: string): number {
  return Number(place.slice(place.lastIndexOf(':') + 1))
}

function childrenOf(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((child: unknown, i) => [i, child])
  return isMap(value) ? Object.entries(value) : []
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((key, i) => path[i] === key)
}

function same(a: Path, b: Path): boolean {
  return a.length === b.length && startsWith(a, b)
}

/** A place in an object of the source: a value that may be missing. */
export class Field {
  readonly object: SourceObject
  readonly path: Path
  readonly value: unknown
  private readonly ledger: Ledger

  private constructor(ledger: Ledger, object: SourceObject, path: Path, value: unknown) {
    this.ledger = ledger
    this.object = object
    this.path = path
    this.value = value ?? undefined
  }

  static root(ledger: Ledger, object: SourceObject): Field {
    return new Field(ledger, object, [], ledger.known(object))
  }

  get given(): boolean {
    return this.value !== undefined
  }

  get(...keys: (string | number)[]): Field {
    return keys.reduce<Field>((field, key) => field.child(key), this)
  }

  private child(key: string | number): Field {
    const value = typeof this.value === 'object' ? (this.value as Record<string | number, unknown>)[key] : undefined
    return new Field(this.ledger, this.object, [...this.path, key], value)
  }

  items(): Field[] {
    return Array.isArray(this.value) ? this.value.map((_, i) => this.child(i)) : []
  }

  keys(): string[] {
    return isMap(this.value) ? Object.keys(this.value) : []
  }

  /** The field is in the result. Returns its value. */
  take(): unknown {
    if (this.given) this.ledger.take(this.object, this.path)
    return this.value
  }

  /** The field is in the result, with another meaning. */
  differ(says: string): unknown {
    if (this.given)
      this.ledger.note({ about: 'differs', object: this.object, path: this.path, value: this.value, says })
    return this.take()
  }

  /** The field is not in the result. */
  leave(says: string): undefined {
    if (this.given) this.ledger.note({ about: 'left', object: this.object, path: this.path, value: this.value, says })
    return undefined
  }

  /** The result says something that this field, which may be missing, does not say. */
  assume(says: string): void {
    this.ledger.note({ about: 'assumed', object: this.object, path: this.path, value: undefined, says })
  }

  text(): string | undefined {
    return typeof this.value === 'string' ? this.value : undefined
  }

  number(): number | undefined {
    return typeof this.value === 'number' ? this.value : undefined
  }

  /** @throws ConfigError that names the file, the line and the path */
  fail(expected: string): never {
    const { kind, name, place } = this.object
    const isScalar = ['string', 'number', 'boolean'].includes(typeof this.value)
    const found = isScalar ? `, but found ${shownValue(this.value)}` : ''
    throw new ConfigError(
      `${place(this.path)}: ${kind} ${name}: ${dotted([...this.path])}: expected ${expected}${found}`,
    )
  }
}
