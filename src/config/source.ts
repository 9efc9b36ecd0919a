// The config file and the inputs as one plain object that knows the line of each value, for error messages.
import { refusedKey, YamlError } from '../yaml/faults.ts'
import { parse, type YamlDocument } from '../yaml/parse.ts'
import type { Path } from '../yaml/positions.ts'
import { firstTemplateMark, templateFault } from '../yaml/templates.ts'
import { ConfigError } from './error.ts'
import { inputs } from './inputs.ts'

/** The file and line, or the input, of the value at a path, or of `key` inside that value. */
type Where = (path: Path, key?: string) => string
type TextOf = (path: Path) => string | undefined

/** The value of the file or of one input, and the path that it is placed at. */
type Fragment = { at: string[]; value: unknown; where: Where; textOf: TextOf }
/** `textOf`: how a single value is written in YAML. */
export type Source = { value: Record<string, unknown>; where: Where; textOf: TextOf }

/** The file comes first, and each input overrides it, sections before single keys. */
export function gather(file: { name: string; text: string } | undefined, given: ReadonlyMap<string, string>): Source {
  const fragments = [
    ...(file ? [yamlFragment([], file.text, file.name, false, (line) => `${file.name}:${line}`)] : []),
    ...Object.entries(inputs).flatMap(([name, { path, yaml, text: key }]) => {
      const text = given.get(name)
      if (text === undefined) return []
      if (yaml && (yaml !== 'or text' || text.includes(':')))
        return [yamlFragment(path, text, `input ${name}`, yaml === 'list', (line) => `input ${name}, line ${line}`)]
      return [
        {
          at: key === undefined ? path : [...path, key],
          value: text,
          where: () => `input ${name}`,
          textOf: () => undefined,
        },
      ]
    }),
  ]
  const value: Record<string, unknown> = {}
  for (const fragment of fragments) place(value, fragment)
  const own = Object.fromEntries(Object.entries(value).filter(([key]) => !isExtension(key)))
  return {
    value: own,
    where: (path, key) => fragmentOf(fragments, path)?.where(path, key) ?? file?.name ?? 'inputs',
    textOf: (path) => fragmentOf(fragments, path)?.textOf(path),
  }
}

/** A key for values that merge keys (`<<`) and aliases (`*`) refer to. */
function isExtension(key: string): boolean {
  return key.startsWith('x-')
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
  const { value, lineOf, textOf } = parseYaml(text, location)
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== isList) {
    const expected = isList ? 'a YAML list, such as `[{ key: value }]`' : 'YAML with keys, such as `key: value`'
    throw new ConfigError(`${name}: expected ${expected}, but found ${typeName(value)}`)
  }
  return {
    at,
    value,
    where: (path, key) => location(lineOf(path.slice(at.length), key)),
    textOf: (path) => textOf(path.slice(at.length)),
  }
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'a map of keys' : 'a single value'
}

function parseYaml(text: string, location: (line: number) => string): YamlDocument {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof YamlError)) throw error
    const template = error.reason === refusedKey ? undefined : firstTemplateMark(text)
    if (template) throw new ConfigError(`${location(template.line)}: ${templateFault(template.mark)}`)
    const problem = error.reason === refusedKey ? '' : 'is not valid YAML: '
    throw new ConfigError(`${location(error.line)}: ${problem}${error.reason}`)
  }
}
