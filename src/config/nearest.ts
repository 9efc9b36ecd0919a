import { closest, distance } from 'fastest-levenshtein'

/** What the user may have meant, as the end of a sentence: one near name, else all that are known. */
export function nearest(name: string, known: string[]): string {
  if (known.length === 0) return ''
  const near = closest(name, known)
  const isNear = distance(name.toLowerCase(), near.toLowerCase()) <= Math.max(2, name.length / 3)
  return isNear ? `; did you mean \`${near}\`?` : `; known are ${known.join(', ')}`
}
