// Where each value of a YAML document is. js-yaml's events hold offsets into the source; this module arranges them as a
// tree that finds an offset by the path of its value.
import {
  COLLECTION_STYLE,
  EVENT_ID,
  getScalarValue,
  SCALAR_STYLE,
  YAMLException,
  type AliasEvent,
  type Event,
  type MappingEvent,
  type ScalarEvent,
  type SequenceEvent,
} from 'js-yaml'

export type Path = readonly (string | number)[]
export type Position = { offset: number; content: Content }
type Content =
  | { kind: 'leaf'; text?: string }
  | { kind: 'alias'; of: Position | undefined }
  | { kind: 'map'; entries: Entry[] }
  | { kind: 'list'; items: Position[] }
type Entry = { key: Position; value: Position }
const mergeKey = '<<'

/**
 * How many values the aliases of one document may repeat. The limit counts what the aliases expand to: nine lists of
 * nine aliases each are only 81 aliases, but 387 million values.
 */
const maxRepeatedValues = 10_000

/** `events` are those of one document. @throws YAMLException when aliases are recursive or repeat too many values. */
export function positionsOf(source: string, events: readonly Event[]): Position {
  return new PositionReader(source, events).read()
}

/** The offset of the value at the path, of `key` inside it, or of the nearest parent that exists. */
export function offsetOf(root: Position, path: Path, key?: string): number {
  let at = root
  for (const step of path) {
    const child = childOf(at, step)
    if (!child) return mergedOffset(at, String(step)) ?? at.offset
    at = child
  }
  if (key === undefined) return at.offset
  return entryOf(at.content, key)?.key.offset ?? mergedOffset(at, key) ?? at.offset
}

/** The offset of the `<<` that brings the key into the map. */
function mergedOffset({ content }: Position, key: string): number | undefined {
  const merge = entryOf(content, mergeKey)
  return merge && mergedKeys(merge.value).includes(key) ? merge.key.offset : undefined
}

/** All keys of the map, or of the maps in the list, that a `<<` merges. */
function mergedKeys(position: Position): string[] {
  const content = resolved(position)
  if (content.kind === 'list') return content.items.flatMap(mergedKeys)
  if (content.kind !== 'map') return []
  return content.entries.flatMap(({ key, value }) => {
    const name = textOf(key)
    if (name === mergeKey) return mergedKeys(value)
    return name === undefined ? [] : [name]
  })
}

function resolved({ content }: Position): Exclude<Content, { kind: 'alias' }> {
  if (content.kind !== 'alias') return content
  return content.of ? resolved(content.of) : { kind: 'leaf' }
}

function textOf({ content }: Position): string | undefined {
  return content.kind === 'leaf' ? content.text : undefined
}

/** Every key that comes before a `<<` in its map and that the `<<` has too. `offset`: of the `<<`. */
export function lateMergesIn({ content }: Position): { key: string; offset: number }[] {
  if (content.kind === 'list') return content.items.flatMap(lateMergesIn)
  if (content.kind !== 'map') return []
  const { entries } = content
  const merge = entries.findIndex(({ key }) => textOf(key) === mergeKey)
  const merged = merge < 0 ? [] : mergedKeys(entries[merge]!.value)
  const late = entries.slice(0, Math.max(merge, 0)).flatMap(({ key }) => {
    const name = textOf(key)
    return name !== undefined && merged.includes(name) ? [{ key: name, offset: entries[merge]!.key.offset }] : []
  })
  return [...late, ...entries.flatMap(({ value }) => lateMergesIn(value))]
}

/** The value at the path of a parsed document; undefined if there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (parent, key) =>
      typeof parent === 'object' && parent !== null ? (parent as Record<string | number, unknown>)[key] : undefined,
    value,
  )
}

/** The text of the single value at the path, as it is written; undefined for anything else. */
export function textAt(root: Position, path: Path): string | undefined {
  let at: Position | undefined = root
  for (const step of path) at = at && childOf(at, step)
  return at?.content.kind === 'leaf' ? at.content.text : undefined
}

function childOf({ content }: Position, step: string | number): Position | undefined {
  if (content.kind === 'list') return content.items[Number(step)]
  return entryOf(content, String(step))?.value
}

function entryOf(content: Content, key: string): Entry | undefined {
  if (content.kind !== 'map') return undefined
  return content.entries.find((entry) => textOf(entry.key) === key)
}

const absent = -1
type Anchor = { size: number; position: Position } | 'open'

class PositionReader {
  readonly #source: string
  readonly #events: readonly Event[]
  readonly #anchors = new Map<string, Anchor>()
  #next = 1 // The first event is the document itself.
  #end = 0 // Where the last token ends. An empty value has no offset of its own and gets this one.
  #size = 0 // How many values were read so far, with those that aliases repeat.
  #repeated = 0

  constructor(source: string, events: readonly Event[]) {
    this.#source = source
    this.#events = events
  }

  read(): Position {
    const event = this.#events[this.#next++]!
    switch (event.type) {
      case EVENT_ID.SCALAR:
        return this.#anchored(event, () => this.#scalar(event))
      case EVENT_ID.ALIAS:
        return this.#alias(event)
      case EVENT_ID.MAPPING:
        return this.#anchored(event, () => this.#map(event))
      case EVENT_ID.SEQUENCE:
        return this.#anchored(event, () => this.#list(event))
      default:
        throw new Error(`js-yaml gave an unexpected event of type ${event.type}`)
    }
  }

  /** Remembers how many values an alias of this one repeats. */
  #anchored({ anchorStart, anchorEnd }: ScalarEvent | MappingEvent | SequenceEvent, read: () => Position): Position {
    const name = anchorStart === absent ? undefined : this.#source.slice(anchorStart, anchorEnd)
    if (name !== undefined) this.#anchors.set(name, 'open')
    const before = this.#size
    this.#size += 1
    const position = read()
    if (name !== undefined) this.#anchors.set(name, { size: this.#size - before, position })
    return position
  }

  #scalar(event: ScalarEvent): Position {
    const text = getScalarValue(this.#source, event)
    this.#end = Math.max(this.#end, event.valueEnd, event.anchorEnd, event.tagEnd)
    if (event.valueStart === absent) return { offset: this.#end, content: { kind: 'leaf', text } }
    const isBlock = event.style === SCALAR_STYLE.LITERAL_BLOCK || event.style === SCALAR_STYLE.FOLDED_BLOCK
    // The text of a block starts on the line below its `|` or `>`.
    return { offset: event.valueStart - (isBlock ? 1 : 0), content: { kind: 'leaf', text } }
  }

  #alias({ anchorStart, anchorEnd }: AliasEvent): Position {
    const anchor = this.#anchors.get(this.#source.slice(anchorStart, anchorEnd))
    if (anchor === 'open') YAMLException.throwAt(this.#source, anchorStart, 'recursive alias')
    const size = anchor?.size ?? 1
    this.#size += size
    this.#repeated += size
    if (this.#repeated > maxRepeatedValues)
      YAMLException.throwAt(this.#source, anchorStart, 'aliases repeat too many values')
    this.#end = anchorEnd
    return { offset: anchorStart, content: { kind: 'alias', of: anchor?.position } }
  }

  #map({ start }: MappingEvent): Position {
    const entries = []
    this.#end = Math.max(this.#end, start)
    while (!this.#atEnd()) entries.push({ key: this.read(), value: this.read() })
    this.#rejectSecondMerge(entries)
    return { offset: start, content: { kind: 'map', entries } }
  }

  /** kubectl and YAML disagree about the order of two `<<` in a map. */
  #rejectSecondMerge(entries: Entry[]): void {
    const [, second] = entries.filter(({ key }) => textOf(key) === mergeKey)
    if (second) YAMLException.throwAt(this.#source, second.key.offset, 'duplicated mapping key')
  }

  #list({ start, style }: SequenceEvent): Position {
    const items = []
    this.#end = Math.max(this.#end, start)
    while (!this.#atEnd()) {
      if (style === COLLECTION_STYLE.BLOCK) this.#end = afterDash(this.#source, this.#end)
      items.push(this.read())
    }
    return { offset: start, content: { kind: 'list', items } }
  }

  #atEnd(): boolean {
    if (this.#events[this.#next]!.type !== EVENT_ID.POP) return false
    this.#next++
    return true
  }
}

/** The end of the next item's dash in a block list. Only comments and closing brackets or quotes may come before it. */
function afterDash(source: string, from: number): number {
  const dash = /(?:[\s\]}'",:]|#[^\n]*(?=\n|$))*-/y
  dash.lastIndex = from
  return dash.test(source) ? dash.lastIndex : from
}
