// YAML text → values that remember their lines. The one place that reads YAML: it resolves scalars by the core schema
// of YAML 1.2, and the merge keys (`<<`) of YAML 1.1, which kubectl resolves too.
import {
  constructFromEvents,
  CORE_SCHEMA,
  EVENT_ID,
  mapTag,
  mergeTag,
  parseEvents,
  seqTag,
  strTag,
  YAMLException,
  type Event,
} from 'js-yaml'
import { isBlank, newlinesIn, refusedKey, YamlError, yamlErrorOf } from './faults.ts'
import { lateMergesIn, offsetOf, positionsOf, textAt, type Path } from './positions.ts'

/**
 * `lineOf`: the line of the value at the path, of `key` inside it, or of the nearest parent that exists; for a value
 * from a merge, the line of its `<<`. `textOf`: how the single value at the path is written; undefined for anything
 * else. `lateMerges`: keys that come before a `<<` that has them too. Here the key wins, as YAML says, but in kubectl
 * the `<<` wins.
 */
export type YamlDocument = {
  value: unknown
  line: number
  lineOf: (path: Path, key?: string) => number
  textOf: (path: Path) => string | undefined
  lateMerges: { key: string; line: number }[]
}

/** A text without a document has the value null. @throws YamlError, also when the text holds a second document. */
export function parse(text: string): YamlDocument {
  const [first, second] = partsOf(text)
  if (first?.document instanceof YamlError) throw first.document
  if (second)
    throw new YamlError(second.line, 'a second document starts here, but only one is allowed; remove the `---`')
  return first?.document ?? { value: null, line: 1, lineOf: () => 1, textOf: () => undefined, lateMerges: [] }
}

/** Every document of the text, or the error in its place. */
export function parseAll(text: string): (YamlDocument | YamlError)[] {
  return partsOf(text).map(({ document }) => document)
}

/** `line`: where the document starts, with its `---`. */
type Part = { line: number; document: YamlDocument | YamlError }
type Piece = { text: string; line: number }

/** Parses the pieces one by one, so that an error in one document does not hide the others. */
function partsOf(text: string): Part[] {
  return piecesOf(text).flatMap((piece) => {
    try {
      const { source, events } = eventsOf(piece.text)
      const documents = documentsOf(events).map((each) => documentOf({ text: source, line: piece.line }, each))
      return documents.map((document, i) => ({ line: i === 0 ? piece.line : document.line, document }))
    } catch (error) {
      return [{ line: piece.line, document: faultOf(error, piece) }]
    }
  })
}

/** Splits at each `---`, which always ends a document, and keeps directives with the document that follows them. */
function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = []
  let line = 1
  for (const part of text.split(/(?<![^\n])(?=---(?:\s|$))/)) {
    const last = pieces.at(-1)
    if (last && endsInDirective(last.text)) last.text += part
    else pieces.push({ text: part, line })
    line += newlinesIn(part)
  }
  return pieces
}

function endsInDirective(text: string): boolean {
  const last = text.split('\n').findLast((line) => !isBlank(line))
  return last?.startsWith('%') ?? false
}

/**
 * Parses the text. js-yaml rejects a closing bracket at the indentation of its key, but people write that and other
 * parsers accept it. One space before such a bracket changes no value and no line.
 */
function eventsOf(text: string): { source: string; events: Event[] } {
  let source = text
  let indented = -1
  for (;;) {
    try {
      return { source, events: parseEvents(source, {}) }
    } catch (error) {
      const at = bracketOf(error)
      // The second error at the same bracket means that it needs more than one space: it really is misplaced.
      if (at === undefined || at === indented + 1) throw error
      source = `${source.slice(0, at)} ${source.slice(at)}`
      indented = at
    }
  }
}

/** The offset of the closing bracket that js-yaml rejects for its indentation. */
function bracketOf(error: unknown): number | undefined {
  if (!(error instanceof YAMLException) || error.reason !== 'deficient indentation' || !error.mark) return undefined
  const { buffer, position } = error.mark
  return /[\]}]/.test(buffer[position] ?? '') ? position : undefined
}

function documentsOf(events: Event[]): Event[][] {
  const starts = events.flatMap(({ type }, i) => (type === EVENT_ID.DOCUMENT ? [i] : []))
  return starts.map((start, i) => events.slice(start, starts[i + 1]))
}

/** A local tag, such as `!secret`, means nothing to us: its scalar is text, and its map or list is read as usual. */
const localTag = { tagName: '!', matchByTagPrefix: true }
const schema = CORE_SCHEMA.withTags(
  mergeTag,
  { ...strTag, ...localTag },
  { ...seqTag, ...localTag },
  { ...mapTag, ...localTag, addPair },
  { ...mapTag, addPair },
)

/** No config or manifest has a key `__proto__`, and `Object.assign` would set the prototype of its target from it. */
function addPair(map: Record<string, unknown>, key: unknown, value: unknown): string {
  return String(key) === '__proto__' ? refusedKey : mapTag.addPair(map, key, value)
}

function documentOf(piece: Piece, events: Event[]): YamlDocument | YamlError {
  try {
    const [value] = constructFromEvents(events, { source: piece.text, schema })
    const positions = positionsOf(piece.text, events)
    const lineOf = (path: Path, key?: string) => lineAt(piece, offsetOf(positions, path, key))
    const lateMerges = lateMergesIn(positions).map(({ key, offset }) => ({ key, line: lineAt(piece, offset) }))
    return { value, line: lineOf([]), lineOf, textOf: (path) => textAt(positions, path), lateMerges }
  } catch (error) {
    return faultOf(error, piece)
  }
}

function faultOf(error: unknown, { line }: Piece): YamlError {
  if (error instanceof YAMLException) return yamlErrorOf(error, line)
  throw error
}

function lineAt({ text, line }: Piece, offset: number): number {
  return line + newlinesIn(text.slice(0, offset))
}
