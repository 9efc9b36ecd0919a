// Takes secrets out of everything that a run shows or keeps. Pure.

export type Redactor = {
  /** The value with `***` in place of each secret in every text inside it. */
  redact: <T>(value: T) => T
  /** Redacts these as well from now on. */
  learn: (secrets: readonly string[]) => void
}

export function createRedactor(initial: readonly string[] = []): Redactor {
  let longestFirst: string[] = []
  const learn = (secrets: readonly string[]) => {
    longestFirst = [...new Set([...longestFirst, ...secrets])].filter(Boolean).sort((a, b) => b.length - a.length)
  }
  const redact = (value: unknown): unknown => {
    if (typeof value === 'string') return longestFirst.reduce((text, secret) => text.replaceAll(secret, '***'), value)
    if (Array.isArray(value)) return value.map(redact)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, redact(each)]))
  }
  learn(initial)
  return { redact: (value) => (longestFirst.length === 0 ? value : (redact(value) as typeof value)), learn }
}
