// Tells which requests the routes of one object take from each other: the first route that matches gets a request. Pure.
import { isDeepStrictEqual } from 'node:util'

/** The conditions of one entry of `match`, by their names. */
export type Match = Readonly<Record<string, unknown>>
/** The entries of a route's `match`; empty if the route takes every request. */
export type Matches = readonly Match[]

/** True if the earlier routes together take every request that the matches describe. */
export function isHidden(matches: Matches, earlier: readonly Matches[]): boolean {
  const entries = matches.length === 0 ? [{}] : matches
  return entries.every((entry) => earlier.some((each) => takes(each, entry)))
}

/** True if the matches take every request that has the conditions. */
export function takes(matches: Matches, request: Match): boolean {
  return matches.length === 0 || matches.some((each) => follows(request, each))
}

/** True if the matches take every request, perhaps of one gateway only. */
export function takesAll(matches: Matches): boolean {
  return matches.length === 0 || matches.some(({ gateways: _, ...rest }) => follows({}, rest))
}

/** Names for logs and statistics, which decide nothing. */
const labels = ['name', 'statPrefix', 'ignoreUriCase']

/** True if a request with the conditions `given` also has the conditions `wanted`. */
function follows(given: Match, wanted: Match): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => labels.includes(key) || conditionFollows(key, given[key], value, given),
  )
}

function conditionFollows(key: string, given: unknown, wanted: unknown, request: Match): boolean {
  if (wanted === undefined || isDeepStrictEqual(given, wanted)) return true
  if (key === 'headers' || key === 'queryParams') return namedFollow(given, wanted)
  if (key === 'gateways') return isSubset(given, wanted)
  if (!isText(wanted)) return isEmpty(wanted)
  return textFollows(isText(given) ? given : undefined, wanted, key === 'uri' && request['ignoreUriCase'] !== true)
}

/** Conditions on headers or on parameters, by their names. */
function namedFollow(given: unknown, wanted: unknown): boolean {
  const has = (given ?? {}) as Match
  return Object.entries((wanted ?? {}) as Match).every(
    ([name, value]) =>
      isDeepStrictEqual(has[name], value) || (has[name] !== undefined && (isEmpty(value) || isAnyText(value))),
  )
}

function isSubset(given: unknown, wanted: unknown): boolean {
  return Array.isArray(given) && Array.isArray(wanted) && given.every((each) => wanted.includes(each))
}

type Text = { exact?: string; prefix?: string; regex?: string }

function isText(value: unknown): value is Text {
  return typeof value === 'object' && value !== null && ['exact', 'prefix', 'regex'].some((key) => key in value)
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

const everything = ['.*', '/.*', '^.*$', '^/.*$', '^/.*', '^.*', '.+', '/.*$', '.*$']

function isAnyText(value: unknown): boolean {
  return isText(value) && (value.prefix === '' || value.prefix === '/' || everything.includes(value.regex ?? '-'))
}

function textFollows(given: Text | undefined, wanted: Text, isUri: boolean): boolean {
  if (isAnyText(wanted) && (isUri || wanted.prefix !== '/')) return true
  const start = given?.exact ?? given?.prefix
  return wanted.prefix !== undefined && start !== undefined && start.startsWith(wanted.prefix)
}
