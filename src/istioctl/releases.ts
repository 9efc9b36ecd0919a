// Reads the list of releases from GitHub's API or from a mirror's index.
import { valid } from 'semver'
import { ConfigError } from '../config/error.ts'
import { bodyText, get, reasonOf, retryRequest, StatusError, withoutCredentials } from '../tools/http.ts'

export type ReleaseQuery = { token?: string | undefined; signal: AbortSignal; backOffMs?: number | undefined }
/** `from`: the address of the list. `versions` includes a prerelease only if its name shows that it is one. */
export type Releases = { versions: string[]; from: string }

/** @throws ConfigError that names the addresses it tried, and what to do. */
export function releasesOf(mirror: string, query: ReleaseQuery): Promise<Releases> {
  const [, server, repository] = /^(https?:\/\/[^/]+)\/([^/]+\/[^/]+)\/releases\/download$/.exec(mirror) ?? []
  const api = server && apiOf(server)
  return api && repository ? fromApi(`${api}/repos/${repository}/releases`, query) : fromIndex(mirror, query)
}

/** The API of GitHub, or of the GitHub server that this job runs on. */
function apiOf(server: string): string | undefined {
  if (server === 'https://github.com') return 'https://api.github.com'
  return server === process.env['GITHUB_SERVER_URL'] ? process.env['GITHUB_API_URL'] : undefined
}

type Release = { tag_name: string; draft?: boolean; prerelease?: boolean }
const perPage = 100
/** A list is long: each release has its notes and a record for each of its files. */
const maxListBytes = 64 << 20

async function fromApi(api: string, { token, signal, backOffMs = 1000 }: ReleaseQuery): Promise<Releases> {
  const headers = {
    accept: 'application/vnd.github+json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
  const all: Release[] = []
  for (let page = 1; all.length === (page - 1) * perPage; page++) {
    const address = `${api}?per_page=${perPage}&page=${page}`
    try {
      const answer = await retryRequest(
        async () => bodyText(await get(address, 'istio.version', headers, signal), maxListBytes),
        signal,
        backOffMs,
      )
      all.push(...(JSON.parse(answer) as Release[]))
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw new ConfigError(
        `istio.version: cannot read the list of releases at ${address}: ${apiReason(error, token !== undefined)}`,
      )
    }
  }
  const published = all.filter(
    ({ tag_name, draft, prerelease }) => draft !== true && (prerelease !== true || /-/.test(tag_name)),
  )
  return { from: api, versions: published.flatMap(({ tag_name }) => valid(tag_name) ?? []) }
}

function apiReason(error: unknown, hasToken: boolean): string {
  if (!(error instanceof StatusError))
    return `${reasonOf(error)}; check the network of the runner, or give an exact version`
  const { status, body } = error
  if (isRateLimited(error)) return rateLimitReason(error, hasToken)
  if (status === 401) return 'HTTP 401: GitHub refuses the token; give another `token`, or an empty one to send none'
  return `HTTP ${status}${body === '' ? '' : ` (${body.slice(0, 100)})`}; give an exact version, or another \`token\``
}

function isRateLimited({ status, headers }: StatusError): boolean {
  const isExhausted = headers['x-ratelimit-remaining'] === '0' || headers['retry-after'] !== undefined
  return (status === 403 || status === 429) && isExhausted
}

function rateLimitReason({ headers }: StatusError, hasToken: boolean): string {
  const limit = headers['x-ratelimit-limit']
  const resetSeconds = Number(headers['x-ratelimit-reset'])
  const requests = typeof limit === 'string' ? `${limit} requests an hour` : 'requests'
  const until = resetSeconds ? ` until ${new Date(resetSeconds * 1000).toISOString()}` : ''
  const remedy = hasToken
    ? 'although a token was given: give another one'
    : 'and without a token it is low: give `token`, such as ${{ github.token }}'
  return `GitHub's limit of ${requests} is used up${until}, ${remedy}; or give an exact version`
}

async function fromIndex(mirror: string, { signal, backOffMs = 1000 }: ReleaseQuery): Promise<Releases> {
  const tried: string[] = []
  for (const [address, read] of [
    [`${mirror}/index.json`, versionsInJson],
    [`${mirror}/`, versionsInListing],
  ] as const) {
    try {
      const answer = await retryRequest(
        async () => bodyText(await get(address, 'istio.mirror', {}, signal), maxListBytes),
        signal,
        backOffMs,
      )
      const versions = [...new Set(read(answer, address))]
      if (versions.length > 0) return { versions, from: withoutCredentials(address) }
      tried.push(`${withoutCredentials(address)} names no version`)
    } catch (error) {
      if (signal.aborted) throw signal.reason
      tried.push(
        error instanceof ConfigError ? error.message : `${withoutCredentials(address)} answers ${reasonOf(error)}`,
      )
    }
  }
  throw new ConfigError(
    `istio.version: cannot read the list of releases: ${tried.join(', and ')}; ` +
      'give an exact version, or put an index.json with a list of versions on the mirror',
  )
}

/** Mirrors use many formats, so this collects every string and every key that is a version. */
function versionsInJson(answer: string): string[] {
  const walk = (value: unknown): string[] => {
    if (typeof value === 'string') return [valid(value) ?? []].flat()
    return typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, each]) => [...(Array.isArray(value) ? [] : walk(key)), ...walk(each)])
      : []
  }
  return walk(JSON.parse(answer))
}

/** Reads a page of links, the XML listing of a bucket, or one name per line. */
function versionsInListing(answer: string, address: string): string[] {
  if (/<IsTruncated>true/.test(answer)) throw new Error('with an incomplete listing (IsTruncated)')
  const links = [...answer.matchAll(/\bhref\s*=\s*["']?([^"'\s>]+)/gi)].map(([, link = '']) => link)
  const keys = [...answer.matchAll(/<(?:Key|Prefix)>([^<]+)</g)].map(([, key = '']) => `/${key}`)
  const names = /</.test(answer) ? [...links, ...keys] : answer.split(/\s+/)
  return names.flatMap((name) => versionBelow(name, address) ?? [])
}

/** The version in the name of a folder below the page. Other links may contain the server's own version. */
function versionBelow(link: string, address: string): string | undefined {
  if (!URL.canParse(link, address)) return undefined
  const [base, { pathname }] = [new URL(address).pathname, new URL(link, address)]
  const below = pathname.startsWith(base) ? pathname.slice(base.length) : pathname.slice(1)
  return valid(below.split('/')[0]) ?? undefined
}
