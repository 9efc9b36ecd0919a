// For the tests of `convert`: the single values of an object, and the same meaning in other words.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseDuration } from '../../../../src/config/values/durations.ts'

export type Path = readonly (string | number)[]

/** Every value that holds no others, with its path. */
export function leavesOf(value: unknown, path: Path = []): { path: Path; value: unknown }[] {
  const entries = Array.isArray(value)
    ? value.map((each: unknown, i): [number, unknown] => [i, each])
    : typeof value === 'object' && value !== null
      ? Object.entries(value)
      : []
  return entries.length === 0 ? [{ path, value }] : entries.flatMap(([key, each]) => leavesOf(each, [...path, key]))
}

export function startsWith(path: Path, start: Path): boolean {
  return start.every((key, i) => path[i] === key)
}

export function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((each, key) => (each as Record<string | number, unknown> | undefined)?.[key], value)
}

/** A duration in milliseconds, a list of conditions without spaces, anything else as it is. */
export function meaningOf(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return parseDuration(value) ?? (/^[a-z0-9-]+(, ?[a-z0-9-]+)+$/.test(value) ? value.replaceAll(' ', '') : value)
}

/** An address without what DNS adds by itself. */
export function addressOf(address: unknown): string {
  return String(address)
    .replace(/\.svc(\.cluster\.local)?\b/, '')
    .replace(/\/$/, '')
}

/** A text with each `{{ … }}` replaced by what `values` has for the words in it. */
export function rendered(text: unknown, values: Record<string, unknown>): string {
  return String(text)
    .trim()
    .replace(/\{\{\s*(.*?)\s*\}\}/g, (_, name: string) => String(values[name]))
}

const folder = join(import.meta.dirname, 'files')

/** The files of an engine, by name. */
export function filesOf(engine: string): { name: string; text: string }[] {
  return readdirSync(join(folder, engine)).map((file) => ({
    name: `${engine}/${file}`,
    text: readFileSync(join(folder, engine, file), 'utf8'),
  }))
}
