// Tells which requests the matches of a route cover: the first route that matches gets a request, so a route whose
// requests are covered by earlier ones gets none. Pure.
import { isDeepStrictEqual } from 'node:util'

/** The conditions of one entry of `match`, by their names. */
export type Match = Readonly<Record<string, unknown>>
/** The entries of a route's `match`; empty if the route takes every request. */
export type Matches = readonly Match[]

export function matchesOf({ match }: { match?: unknown }): Matches {
  return Array.isArray(match) ? (match as Matches) : []
}

/** True for a default route: it has no match, or one such as the prefix `/` that every request has. */
export function isDefaultRoute(route: { match?: unknown }): boolean {
  return entriesOf(matchesOf(route)).some((entry) => coversMatch(entry, {}))
}

/** True if the earlier routes together take every request that the matches describe. */
export function isCovered(matches: Matches, earlier: readonly Matches[]): boolean {
  return entriesOf(matches).every((entry) => earlier.flatMap(entriesOf).some((each) => coversMatch(each, entry)))
}

/** True if the matches take every request, perhaps of one gateway only. */
export function coversAll(matches: Matches): boolean {
  return entriesOf(matches).some(({ gateways: _, ...rest }) => coversMatch(rest, {}))
}

function entriesOf(matches: Matches): Matches {
  return matches.length === 0 ? [{}] : matches
}

/** These say nothing about which requests match. */
const labelsOnly = ['name', 'statPrefix', 'ignoreUriCase']

/** True if every request that fits `narrower` fits `wider` as well. */
function coversMatch(wider: Match, narrower: Match): boolean {
  return Object.keys(wider)
    .filter((key) => !labelsOnly.includes(key) && wider[key] !== undefined)
    .every((key) => coversPart(key, wider, narrower))
}

function coversPart(key: string, wider: Match, narrower: Match): boolean {
  const [a, b] = [wider[key], narrower[key]]
  switch (key) {
    case 'uri': {
      const isStricter = narrower['ignoreUriCase'] === true && wider['ignoreUriCase'] !== true
      return isAnyPath(a) || (!isStricter && coversText(a, b))
    }
    case 'scheme':
    case 'method':
    case 'authority':
      return coversText(a, b)
    case 'headers':
    case 'queryParams':
      return Object.entries(a as Match).every(([name, text]) => coversText(text, (b as Match | undefined)?.[name]))
    case 'gateways':
      return Array.isArray(b) && b.every((each) => (a as unknown[]).includes(each))
    case 'sourceLabels':
      return Object.entries(a as Match).every(([name, text]) => (b as Match | undefined)?.[name] === text)
    default:
      return isEmpty(a) || isDeepStrictEqual(a, b)
  }
}

type Text = { exact?: string; prefix?: string; regex?: string }

const anyTextPatterns = ['.*', '^.*$', '^.*', '.*$', '.+']
const anyPathPatterns = [...anyTextPatterns, '/.*', '^/.*$', '^/.*', '/.*$']

/** Every path begins with a slash. */
function isAnyPath(uri: unknown): boolean {
  const { prefix, regex } = (uri ?? {}) as Text
  return prefix === '/' || prefix === '' || (regex !== undefined && anyPathPatterns.includes(regex))
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** An empty condition, or a pattern for every text, asks only that the header or parameter is there. */
function coversText(wider: unknown, narrower: unknown): boolean {
  if (narrower === undefined) return false
  if (isDeepStrictEqual(wider, narrower) || isEmpty(wider)) return true
  const [{ prefix, regex }, { exact, prefix: longer }] = [wider as Text, narrower as Text]
  if (regex !== undefined) return anyTextPatterns.includes(regex)
  return prefix !== undefined && (exact ?? longer)?.startsWith(prefix) === true
}
