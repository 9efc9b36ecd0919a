// The schema's issues as sentences for the user: place, key, value, and what was expected.
import type * as z from 'zod'
import { valueAt, type Path } from '../yaml/positions.ts'
import { templateFault, templateMark } from '../yaml/templates.ts'
import { adviceOnKey } from './foreign-keys.ts'
import { nearest } from './nearest.ts'
import { markedSchema, nodeAt } from './published.ts'
import { newNameOfKey } from './renamed-keys.ts'
import { schema } from './schema.ts'
import { dotted, shownKey, shownValue } from './shown.ts'
import type { Source } from './source.ts'
import { isPublic } from './values/public-value.ts'

/** One line for each fault. */
export function messageOfIssue(issue: z.core.$ZodIssue, source: Source): string {
  if (issue.code === 'unrecognized_keys') return unknownKeys(issue, source)
  const path = issue.path as Path
  if (issue.code === 'invalid_key') return invalidKey(path, issue.issues[0]!.message, source)
  const value = valueAt(source.value, path)
  const problem = value === undefined ? 'is missing' : `${shown(path, value, source)} is invalid`
  const hints = quotesHint(path, value, source) + templateHint(value, issue.message)
  return `${source.where(path)}: ${dotted(path)}: ${problem}: ${expectation(issue)}${hints}`
}

/** For a value that another program should have replaced, unless the message is about that already. */
function templateHint(value: unknown, message: string): string {
  const mark = typeof value === 'string' ? templateMark(value) : undefined
  return mark === undefined || message.includes(mark) ? '' : `; ${templateFault(mark)}`
}

function unknownKeys(issue: z.core.$ZodIssueUnrecognizedKeys, source: Source): string {
  const path = issue.path as Path
  const known = Object.keys(nodeAt(path).properties ?? {})
  return issue.keys
    .map((key) => `${source.where(path, key)}: ${dotted([...path, key])}: ${unknownKey([...path, key], known)}`)
    .join('\n')
}

function unknownKey(path: Path, known: string[]): string {
  const newName = newNameOfKey(path)
  if (newName !== undefined) return `was renamed; write \`${newName}\` instead`
  const advice = adviceOnKey(path)
  return advice === undefined ? `is not known${nearest(String(path.at(-1)), known)}` : `is not a key here; ${advice}`
}

/** A key that the user chooses, such as the name of a service. */
function invalidKey(path: Path, expected: string, source: Source): string {
  const key = String(path.at(-1))
  return `${source.where(path.slice(0, -1), key)}: ${dotted(path)}: the name ${shownKey(key)} is invalid: ${expected}`
}

/** zod's own types, as a person who writes YAML knows them. */
const yamlTypes: Record<string, string> = { object: 'a map of keys', record: 'a map of keys', array: 'a list' }

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type' || !issue.message.startsWith('Invalid input')) return issue.message
  return `expected ${yamlTypes[issue.expected] ?? issue.expected}`
}

/** The value as the user wrote it, as far as the schema marks it as public. */
function shown(path: Path, value: unknown, source: Source): string {
  const isShown = !isSecret(path)
  const text = isShown && isBare(value) ? source.textOf(path) : undefined
  return text !== undefined && text.length <= 80 ? text : shownValue(value, isShown)
}

/** A token may stand in any place by mistake, so what the schema does not mark as public may be one. */
function isSecret(path: Path): boolean {
  return path[0] === 'kubeconfig' || path.at(-1) === 'token' || !isPublic(nodeAt(path, markedSchema()))
}

/** A value that YAML reads from a word without quotes, and that is no text. */
function isBare(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'boolean' || value === null
}

/** The end of the sentence if quotes would make the value valid. */
function quotesHint(path: Path, value: unknown, source: Source): string {
  const text = isBare(value) ? source.textOf(path) : undefined
  if (text === undefined || text === '') return ''
  const quoted = schema.safeParse(withValueAt(source.value, path, text))
  const isAt = (at: PropertyKey[]) => at.length === path.length && at.every((key, i) => key === path[i])
  if (quoted.error?.issues.some((issue) => isAt(issue.path))) return ''
  return `; ${quoteRemedy(path, value, text)}`
}

/** What to do about a text that YAML reads as `value`. */
function quoteRemedy(path: Path, value: unknown, text: string): string {
  if (isSecret(path)) return 'without quotes, YAML reads it as a number or a truth value, so quote it'
  const kind = typeof value === 'number' ? 'the number ' : ''
  return `without quotes, YAML reads it as ${kind}${String(value)}, so quote it: "${text}"`
}

/** One sentence for each number that is read as text, but is not written as it is read: `0123` would become `123`. */
export function alteredNumbers(source: Source, config: unknown): string[] {
  return numberPaths(source.value).flatMap((path) => {
    const [text, value] = [source.textOf(path), valueAt(source.value, path)]
    if (text === undefined || text === String(value) || !isText(parsedAt(config, path))) return []
    return [`${source.where(path)}: ${dotted(path)}: ${quoteRemedy(path, value, text)}`]
  })
}

/** The parsed value: a section that may be a list is one there, and a text to compare with a map with the key `exact`. */
function parsedAt(config: unknown, path: Path): unknown {
  return path.reduce<unknown>((parent, key) => {
    const only: unknown = Array.isArray(parent) && typeof key === 'string' ? parent[0] : parent
    return valueAt(only, [key])
  }, config)
}

function isText(parsed: unknown): boolean {
  return typeof parsed === 'string' || typeof valueAt(parsed, ['exact']) === 'string'
}

function numberPaths(value: unknown, path: Path = []): Path[] {
  if (typeof value === 'number') return [path]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]) =>
    numberPaths(each, [...path, Array.isArray(value) ? Number(key) : key]),
  )
}

function withValueAt(value: unknown, [key, ...rest]: Path, text: string): unknown {
  if (key === undefined) return text
  const child = withValueAt((value as Record<string | number, unknown>)[key], rest, text)
  if (Array.isArray(value)) return value.with(Number(key), child)
  return { ...(value as Record<string, unknown>), [key]: child }
}
