// What the user wrote, as plain data that remembers where each value stands, so that an error can name the line.
import { YamlError } from '../yaml/faults.ts'
import { parse, type YamlDocument } from '../yaml/parse.ts'
import type { Path } from '../yaml/positions.ts'
import { ConfigError } from './error.ts'
import { inputs } from './inputs.ts'

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
  const { value, lineOf } = parsed(text, location)
  if (typeof value !== 'object' || value === null || Array.isArray(value) !== isList)
    throw new ConfigError(
      `${name}: expected ${isList ? 'a YAML list' : 'YAML with keys, such as \`key: value\`'}, but it holds ${value === null ? 'nothing' : isList ? 'no list' : 'a single value or a list'}`,
    )
  return {
    at,
    value,
    where: (path, key) => location(lineOf(path.slice(at.length), key)),
  }
}

function parsed(text: string, location: (line: number) => string): YamlDocument {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof YamlError) throw new ConfigError(`${location(error.line)}: is not valid YAML: ${error.reason}`)
    throw error
  }
}
