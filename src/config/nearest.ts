// Suggestions for misspelt names.
import { closest, distance } from 'fastest-levenshtein'

/** The end of an error message: one similar name, or else all known names. */
export function nearest(name: string, known: string[]): string {
  if (known.length === 0) return ''
  const near = closest(name, known)
  const isNear = distance(name.toLowerCase(), near.toLowerCase()) <= Math.max(2, name.length / 3)
  return isNear ? `; did you mean \`${near}\`?` : `; known names: ${known.join(', ')}`
}
