// What the user wrote, as plain data that remembers where each value stands, so that an error can name the line.
import { isMap, LineCounter, parseDocument, type Document, type YAMLError } from 'yaml'
import { ConfigError } from './error.ts'
import { inputs } from './inputs.ts'

export type Path = readonly (string | number)[]
type Fragment = { at: string[]; value: unknown; where: (path: Path, key?: string) => string }
export type Source = { value: Record<string, unknown>; where: (path: Path, key?: string) => string }

/** The file first, then each input over it, sections before single keys. */
export function gather(file: { name: string; text: string } | undefined, given: ReadonlyMap<string, string>): Source {
  const fragments = [
    ...(file ? [yamlFragment([], file.text, file.name, false, (line) => `${file.name}:${line}`)] : []),
    ...Object.entries(inputs).flatMap(([name, { path, yaml, text: key }]) => {
      const text = given.get(name)
      if (text === undefined) return []
      if (yaml && (yaml !== 'or text' || text.includes(':')))
        return [yamlFragment(path, text, `input ${name}`, yaml === 'list', (line) => `input ${name}, line ${line}`)]
      return [{ at: key === undefined ? path : [...path, key], value: text, where: () => `input ${name}` }]
    }),
  ]
  const value: Record<string, unknown> = {}
  for (const fragment of fragments) place(value, fragment)
  return { value, where: (path, key) => fragmentOf(fragments, path)?.where(path, key) ?? file?.name ?? 'inputs' }
}

function fragmentOf(fragments: Fragment[], path: Path): Fragment | undefined {
  return fragments.findLast(({ at }) => at.every((key, i) => path[i] === key))
}

function place(target: Record<string, unknown>, { at, value, where }: Fragment): void {
  if (at.length === 0) return void Object.assign(target, value)
  let parent = target
  for (const key of at.slice(0, -1)) {
    const child: unknown = (parent[key] ??= {})
    if (typeof child !== 'object' || child === null || Array.isArray(child))
      throw new ConfigError(
        `${where(at)}: cannot be set, because \`${key}\` is not a section here; make it a map of keys`,
      )
    parent = child as Record<string, unknown>
  }
  parent[at.at(-1)!] = value
}

function yamlFragment(
  at: string[],
  text: string,
  name: string,
  isList: boolean,
  location: (line: number) => string,
): Fragment {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error)
    throw new ConfigError(`${location(lines.linePos(error.pos[0]).line)}: is not valid YAML: ${sentence(error)}`)
  const value = valueOf(document, name)
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== isList)
    throw new ConfigError(
      `${name}: expected ${isList ? 'a YAML list' : 'YAML with keys, such as \`key: value\`'}, but it holds ${value === null ? 'nothing' : isList ? 'no list' : 'a single value or a list'}`,
    )
  return {
    at,
    value,
    where: (path, key) => location(lines.linePos(offsetOf(document, path.slice(at.length), key)).line),
  }
}

/** The library's own message would name the alias, which may be a piece of a secret that was not quoted. */
function valueOf(document: Document, name: string): unknown {
  try {
    return document.toJS()
  } catch {
    throw new ConfigError(
      `${name}: is not valid YAML: a value that begins with \`*\` refers to an anchor that is not there; quote it if it is meant as text`,
    )
  }
}

function sentence(error: YAMLError): string {
  return error.message.replace(/\s+at line \d+, column \d+:?[\s\S]*$/, '')
}

/** The offset of the value at the path, of `key` inside it, or of the nearest parent that exists. */
function offsetOf(document: Document, path: Path, key?: string): number {
  const node = path.length === 0 ? document.contents : document.getIn(path, true)
  if (key !== undefined && isMap(node)) {
    const pair = node.items.find((item) => String((item.key as { value?: unknown }).value) === key)
    const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range
    if (range) return range[0]
  }
  const range = (node as { range?: [number, number, number] } | null | undefined)?.range
  if (range) return range[0]
  return path.length === 0 ? 0 : offsetOf(document, path.slice(0, -1))
}
