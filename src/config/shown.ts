// How a user's value appears in an error. A token may stand in any place by mistake, so a value is shown only where the
// schema marks it as public, and never if it looks like a secret. Pure.
import { isMap } from '../runtime/is-map.ts'
import { plural } from '../runtime/plural.ts'
import type { Path } from '../yaml/positions.ts'

const maxLength = 80

/** The value as the user wrote it if it is public, else its type and length: `a text of 40 characters`. */
export function shownValue(value: unknown, isPublic = true): string {
  const text = isPublic ? publicText(value) : undefined
  return text ?? describe(value)
}

/** A key that the user chose. */
export function shownKey(key: string | number): string {
  return isPlain(String(key)) ? String(key) : `(a key of ${String(key).length} characters)`
}

/** A path of keys, with dots. */
export function dotted(path: Path): string {
  return path.map(shownKey).join('.') || 'the configuration'
}

/** The path of a file, without quotes. */
export function shownPath(file: string): string {
  return isPlain(file, 200) ? file : `(a path of ${file.length} characters)`
}

function publicText(value: unknown): string | undefined {
  const items: unknown[] = Array.isArray(value) ? value : [value]
  const isShown = items.every((item) =>
    typeof item === 'string' ? isPlain(item) : !isMap(item) && !Array.isArray(item),
  )
  const text = JSON.stringify(value) as string | undefined
  return isShown && text !== undefined && text.length <= maxLength ? text : undefined
}

/** Neither long nor an address, and without a run of letters and digits as in a token. */
function isPlain(text: string, longest = maxLength): boolean {
  const runs = text.match(/\w{16,}/g) ?? []
  return text.length <= longest && !text.includes('://') && !runs.some((run) => /\d/.test(run) && /[a-z]/i.test(run))
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'an empty value'
  if (typeof value === 'string') return `a text of ${plural(value.length, 'character')}`
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (isMap(value)) return Object.keys(value).length === 0 ? '{}' : 'a map of keys'
  return `a ${typeof value}`
}
