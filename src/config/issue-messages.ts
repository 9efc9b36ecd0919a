// The schema's issues as sentences for the user: place, key, value, and what was expected.
import type * as z from 'zod'
import type { Path } from '../yaml/positions.ts'
import { nearest } from './nearest.ts'
import { markedSchema, nodeAt } from './published.ts'
import { newNameOfKey } from './renamed-keys.ts'
import { dotted, shownKey, shownValue } from './shown.ts'
import type { Source } from './source.ts'
import { isPublic } from './values/public-value.ts'

/** One line for each fault. */
export function messageOfIssue(issue: z.core.$ZodIssue, source: Source): string {
  if (issue.code === 'unrecognized_keys') return unknownKeys(issue, source)
  const path = issue.path as Path
  if (issue.code === 'invalid_key') return invalidKey(path, issue.issues[0]!.message, source)
  const value = valueAt(source.value, path)
  const problem = value === undefined ? 'is missing' : `${shown(path, value)} is invalid`
  return `${source.where(path)}: ${dotted(path)}: ${problem}: ${expectation(issue)}`
}

function unknownKeys(issue: z.core.$ZodIssueUnrecognizedKeys, source: Source): string {
  const path = issue.path as Path
  const known = Object.keys(nodeAt(path).properties ?? {})
  return issue.keys
    .map((key) => {
      const newName = newNameOfKey([...path, key])
      const problem =
        newName === undefined ? `is not known${nearest(key, known)}` : `was renamed; write \`${newName}\` instead`
      return `${source.where(path, key)}: ${dotted([...path, key])}: ${problem}`
    })
    .join('\n')
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

/** Shown as far as the schema marks it as public. */
function shown(path: Path, value: unknown): string {
  return shownValue(value, isPublic(nodeAt(path, markedSchema())))
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (parent, key) =>
      typeof parent === 'object' && parent !== null ? (parent as Record<string | number, unknown>)[key] : undefined,
    value,
  )
}
