// Conditions of HTTP routes on requests: combines two of them, and finds where they contradict each other. Pure.
import { isDeepStrictEqual } from 'node:util'
import { omit } from '../merge/merge-fields.ts'

export type Conditions = Record<string, unknown>

/** These hold conditions by name: two of them can be combined unless they share a name. */
const namedConditions = ['headers', 'queryParams'] as const

/** Both must hold; see `conflictBetween`. */
export function combine(a: Conditions, b: Conditions): Conditions {
  const shared = namedConditions.filter((key) => key in a && key in b)
  const combined = shared.map((key) => [key, { ...(a[key] as Conditions), ...(b[key] as Conditions) }] as const)
  return { ...a, ...b, ...Object.fromEntries(combined) }
}

/** The part of a request that both conditions test differently, such as `uri` or `headers.x-beta`. */
export function conflictBetween(a: Conditions, b: Conditions): string | undefined {
  const conflict = differingKey(omit(a, ...namedConditions), omit(b, ...namedConditions))
  if (conflict !== undefined) return conflict
  for (const key of namedConditions) {
    const name = differingKey((a[key] as Conditions | undefined) ?? {}, (b[key] as Conditions | undefined) ?? {})
    if (name !== undefined) return `${key}.${name}`
  }
  return undefined
}

function differingKey(a: Conditions, b: Conditions): string | undefined {
  return Object.keys(a).find((key) => key in b && !isDeepStrictEqual(a[key], b[key]))
}
