// Istio's conditions on requests as those of `ab`, and back.
import { httpMethod, parseRegex } from '../../config/values/strings.ts'
import type { Field } from './ledger.ts'

type Match = Record<string, unknown>

/**
 * The conditions of a request that has to meet one of the items. An item with a condition that has no counterpart is left
 * out as a whole, because without the condition it would match more requests.
 */
export function matchesOf(items: readonly Field[]): Match[] {
  return items.flatMap((item) => {
    const match = matchOf(item)
    if (!match)
      item.leave(
        'not all of its conditions have a counterpart, and without them it would match more requests; write it anew',
      )
    return match ? [match] : []
  })
}

const parts: Record<string, (field: Field) => Match | undefined> = {
  uri: ({ value }) => only(value, 'prefix', (path) => (path.startsWith('/') ? { path } : undefined)),
  method: ({ value }) =>
    only(value, 'exact', (method) => (httpMethod.safeParse(method).success ? { method } : undefined)),
  headers: (field) => textMatches('headers', field),
  queryParams: (field) => textMatches('query', field),
  name: () => ({}),
}

function matchOf(item: Field): Match | undefined {
  const made = item.keys().map((key) => parts[key]?.(item.get(key)))
  if (made.length === 0 || made.includes(undefined)) return undefined
  const match = Object.assign({}, ...made) as Match
  if (Object.keys(match).length === 0) return undefined
  for (const key of item.keys()) item.get(key).take()
  return match
}

function only(value: unknown, key: string, make: (text: string) => Match | undefined): Match | undefined {
  const [[name, text] = [], ...others] = Object.entries(value ?? {}) as [string, unknown][]
  return name === key && typeof text === 'string' && others.length === 0 ? make(text) : undefined
}

function textMatches(key: string, field: Field): Match | undefined {
  const pairs = field.keys().map((name) => [name, textMatch(field.get(name).value)] as const)
  if (pairs.some(([name, match]) => match === undefined || !/^[A-Za-z0-9_.-]+$/.test(name))) return undefined
  return pairs.length === 0 ? {} : { [key]: Object.fromEntries(pairs) }
}

/** One of Istio's forms, if it can be written here. */
export function textMatch(value: unknown): Match | undefined {
  const [[form, text] = [], ...others] = Object.entries(value ?? {}) as [string, unknown][]
  if (others.length > 0 || typeof text !== 'string' || text === '') return undefined
  if (form === 'exact' || form === 'prefix') return { [form]: text }
  return form === 'regex' && parseRegex(text) !== undefined ? { regex: text } : undefined
}
