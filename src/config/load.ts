// Inputs and config file → one validated, immutable Config, or one error that names key, place, value and remedy.
import { basename, relative, resolve } from 'node:path'
import type * as z from 'zod'
import type { Path } from '../yaml/positions.ts'
import { findFaults } from './check.ts'
import { ConfigError } from './error.ts'
import { inputs } from './inputs.ts'
import { nearest } from './nearest.ts'
import { nodeAt } from './published.ts'
import { newNameOfInput, newNameOfKey } from './renamed-keys.ts'
import { readText } from './read.ts'
import { schema, type Config } from './schema.ts'
import { gather, type Source } from './source.ts'

/** Reads what the runner hands over: `INPUT_<NAME>` variables, empty ones counting as not given. */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = givenInputs(env)
  const name = given.get('config')
  const source = gather(name === undefined ? undefined : { name, text: readText('input config', name) }, given)
  if (name !== undefined) source.value['name'] ??= nameOf(name)
  const parsed = schema.safeParse(source.value)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map((issue) => explain(issue, source)).join('\n'))
  findFaults(parsed.data, source.where)
  return freeze(parsed.data)
}

/** The config file's path in the repository as the name of what it asks for: the same on every runner. */
function nameOf(file: string): string {
  const path = relative(process.cwd(), resolve(file))
  return (path.startsWith('..') ? basename(path) : path)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(-63)
    .replace(/^-+|-+$/g, '')
}

function givenInputs(env: NodeJS.ProcessEnv): Map<string, string> {
  const known = ['config', ...Object.keys(inputs)]
  const given = new Map<string, string>()
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('INPUT_') || value === undefined || value.trim() === '') continue
    const name = variable.slice('INPUT_'.length).toLowerCase().replaceAll('_', '-')
    if (!known.includes(name)) {
      const newName = newNameOfInput(name)
      if (newName !== undefined) throw new ConfigError(`input ${name}: was renamed; write \`${newName}\` instead`)
      throw new ConfigError(`input ${name}: is not known${nearest(name, known)}`)
    }
    given.set(name, value.trim())
  }
  return given
}

function explain(issue: z.core.$ZodIssue, source: Source): string {
  const path = issue.path as Path
  if (issue.code === 'unrecognized_keys') {
    return issue.keys
      .map((key) => {
        const place = `${source.where(path, key)}: ${dotted([...path, key])}`
        const newName = newNameOfKey([...path, key])
        if (newName !== undefined) return `${place}: was renamed; write \`${newName}\` instead`
        return `${place}: is not known${nearest(key, Object.keys(nodeAt(path).properties ?? {}))}`
      })
      .join('\n')
  }
  const [problem] = issue.code === 'invalid_key' ? issue.issues : [issue]
  const value = valueAt(source.value, path)
  const key = path.at(-1)
  if (issue.code === 'invalid_key')
    return `${source.where(path.slice(0, -1), String(key))}: ${dotted(path)}: ${problem!.message}`
  const found = value === undefined ? 'is missing' : `${shown(path, value)} is not right`
  return `${source.where(path)}: ${dotted(path)}: ${found}: ${expectation(problem as z.core.$ZodIssue)}`
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type' || !issue.message.startsWith('Invalid input')) return issue.message
  const words: Record<string, string> = { object: 'a map of keys', record: 'a map of keys', array: 'a list' }
  return `expected ${words[issue.expected] ?? issue.expected}`
}

function dotted(path: Path): string {
  return path.join('.') || 'the configuration'
}

/** The value as the user wrote it, short; a kubeconfig and a token are never shown. */
function shown(path: Path, value: unknown): string {
  if (path[0] === 'kubeconfig' || path.at(-1) === 'token') return 'the value'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (parent, key) =>
      typeof parent === 'object' && parent !== null ? (parent as Record<string | number, unknown>)[key] : undefined,
    value,
  )
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}
