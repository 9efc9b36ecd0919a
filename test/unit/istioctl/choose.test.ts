import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { choose, type VersionRequest } from '../../../src/istioctl/choose.ts'
import { istioctlTool } from '../../../src/istioctl/release.ts'
import { releasesOf } from '../../../src/istioctl/releases.ts'
import { obtain } from '../../../src/tools/obtain.ts'
import { serve, tempFolder } from '../fixtures.ts'
import { archive, program, zip } from '../tools/archives.ts'

const signal = new AbortController().signal
let cache: string

beforeEach(() => {
  cache = tempFolder()
  vi.stubEnv('RUNNER_TOOL_CACHE', cache)
  vi.stubEnv('RUNNER_TEMP', tempFolder())
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

const request = (spec: string, mirror: string, more: Partial<VersionRequest> = {}): VersionRequest => ({
  spec,
  mirror,
  limitMs: 10_000,
  checkLatest: false,
  installed: () => Promise.resolve(undefined),
  ...more,
})
const chosen = (spec: string, mirror: string, more: Partial<VersionRequest> = {}, token?: string) =>
  choose(request(spec, mirror, more), { signal, token, backOffMs: 1 })

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  return (error as Error).message
}

/** Another job put this version into the tool cache. */
function inToolCache(version: string): void {
  const folder = join(cache, 'istioctl', version, process.arch)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'istioctl'), program)
  writeFileSync(`${folder}.complete`, '')
}

/**
 * Eight patches each of forty minor versions, the newest one anywhere in the list, and prereleases of the next minor.
 */
const many = [
  ...Array.from({ length: 40 }, (_, minor) => Array.from({ length: 8 }, (_, patch) => `1.${minor}.${patch}`))
    .flat()
    .sort(),
  '1.40.0-alpha.0',
  '1.40.0-beta.1',
  '1.40.0-rc.0',
]

/** The version that each spec means on each platform. */
const specs: [spec: string, version: string][] = [
  ['1.31.0', '1.31.0'],
  ['1.31', '1.31.7'],
  ['1.31.x', '1.31.7'],
  ['v1.9', '1.9.7'],
  ['1', '1.39.7'],
  ['>=1.30 <1.32', '1.31.7'],
  ['~1.30.2', '1.30.7'],
  ['1.10.0 - 1.12.3', '1.12.3'],
  ['1.29 || 1.31', '1.31.7'],
  ['latest', '1.39.7'],
  ['>=1.40.0-0', '1.40.0-rc.0'],
  ['~1.40.0-alpha', '1.40.0-rc.0'],
  ['1.40.0-beta.1', '1.40.0-beta.1'],
]
const platforms: [NodeJS.Platform, string, string][] = [
  ['linux', 'x64', 'linux-amd64.tar.gz'],
  ['linux', 'arm64', 'linux-arm64.tar.gz'],
  ['linux', 'arm', 'linux-armv7.tar.gz'],
  ['darwin', 'x64', 'osx-amd64.tar.gz'],
  ['darwin', 'arm64', 'osx-arm64.tar.gz'],
  ['win32', 'x64', 'win-amd64.zip'],
]

describe.each(platforms)('on %s, %s', (platform, arch, suffix) => {
  test.each(specs)('the spec %s means %s, downloaded from a mirror with many releases', async (spec, version) => {
    vi.spyOn(process, 'platform', 'get').mockReturnValue(platform)
    vi.spyOn(process, 'arch', 'get').mockReturnValue(arch as NodeJS.Architecture)
    const file = platform === 'win32' ? zip({ name: 'istioctl.exe' }) : archive()
    const { address, requests } = await serve(({ url }, response) => {
      if (url === '/istio/index.json') return void response.end(JSON.stringify(many))
      const [, of, rest] = /^\/istio\/([^/]+)\/istioctl-\1-([^/]+?)(?=$|\.sha256$)/.exec(url) ?? []
      if (!of || !many.includes(of) || rest !== suffix) return void response.writeHead(404).end()
      response.end(url.endsWith('.sha256') ? `${createHash('sha256').update(file).digest('hex')} name\n` : file)
    })
    const choice = await chosen(spec, `${address}/istio`)
    expect(choice.version).toBe(version)
    expect(choice.because).toBe(
      spec === version ? undefined : `istio.version: ${spec} → ${version}, of ${many.length} releases`,
    )
    const { path } = await obtain(istioctlTool, choice.version, {
      mirror: `${address}/istio`,
      limitMs: 10_000,
      cache: false,
      signal,
      log: { info: () => undefined, warning: () => undefined },
    })
    expect(path).toBe(join(cache, 'istioctl', version, arch, platform === 'win32' ? 'istioctl.exe' : 'istioctl'))
    expect(requests.map(({ url }) => url).filter((url) => url.endsWith(suffix))).toEqual([
      `/istio/${version}/istioctl-${version}-${suffix}`,
    ])
  })
})

describe('choosing a version', () => {
  const nobody = 'http://127.0.0.1:1'

  test('sends no request for an exact version', async () => {
    const installed = vi.fn<() => Promise<string>>()
    expect(await chosen('1.31.0', nobody, { installed, checkLatest: true })).toEqual({ version: '1.31.0' })
    expect(installed).not.toHaveBeenCalled()
  })

  test('keeps the version of a mesh that matches, even if newer ones exist', async () => {
    inToolCache('1.31.9')
    expect(await chosen('1.31.x', nobody, { installed: () => Promise.resolve('1.31.0') })).toEqual({
      version: '1.31.0',
      because: 'istio.version: 1.31.x → 1.31.0, which is installed',
    })
  })

  test('takes the newest match in the tool cache when no mesh matches', async () => {
    for (const version of ['1.31.2', '1.31.10', '1.30.5', '1.31.11-rc.0']) inToolCache(version)
    expect(await chosen('1.31.x', nobody, { installed: () => Promise.resolve('1.30.5') })).toEqual({
      version: '1.31.10',
      because: 'istio.version: 1.31.x → 1.31.10, the newest in the tool cache',
    })
  })

  test.each([
    ['1.31.x', true],
    ['latest', false],
  ])('for %s with checkLatest: %s takes the newest release', async (spec, checkLatest) => {
    inToolCache('1.31.2')
    const { address } = await serve((_, response) => response.end(JSON.stringify(['1.31.2', '1.31.3'])))
    expect(await chosen(spec, address, { checkLatest, installed: () => Promise.resolve('1.31.2') })).toEqual({
      version: '1.31.3',
      because: `istio.version: ${spec} → 1.31.3, of 2 releases`,
    })
  })

  test('falls back to the tool cache with a warning when the list of releases cannot be read', async () => {
    inToolCache('1.31.2')
    const { version, because, warning } = await chosen('latest', nobody)
    expect([version, because]).toEqual(['1.31.2', undefined])
    expect(warning).toMatch(
      /^istio\.version: cannot read the list of releases: .*index\.json answers ECONNREFUSED, and http:\/\/127\.0\.0\.1:1\/ answers ECONNREFUSED; .*Using 1\.31\.2, the newest in the tool cache that matches latest; there may be a newer one$/,
    )
  })

  test('fails and names each source when the tool cache has no match either', async () => {
    inToolCache('1.30.2')
    expect(await refusal(chosen('1.31', nobody))).toMatch(
      /cannot read the list of releases: http:\/\/127\.0\.0\.1:1\/index\.json answers ECONNREFUSED, and http:\/\/127\.0\.0\.1:1\/ answers ECONNREFUSED; give an exact version/,
    )
  })

  test('fails when the list of releases takes too long, or warns if the tool cache has a match', async () => {
    const { address } = await serve(() => undefined)
    expect(await refusal(chosen('1.31', address, { limitMs: 200 }))).toContain(
      'timed out after 0.2 s (`limits.download`)',
    )
    inToolCache('1.31.2')
    expect((await chosen('1.31', address, { limitMs: 200, checkLatest: true })).warning).toContain('Using 1.31.2,')
  })

  test('fails for a range that no release matches, and names the newest releases', async () => {
    const { address } = await serve((_, response) => response.end(JSON.stringify(many)))
    expect(await refusal(chosen('1.99.x', address))).toBe(
      `istio.version: none of the ${many.length} releases at ${address}/index.json matches 1.99.x; the newest are 1.40.0-rc.0, 1.40.0-beta.1, 1.40.0-alpha.0`,
    )
  })
})

describe('the index of a mirror', () => {
  const nginx =
    '<html><h1>Index of /istio/</h1><a href="../">../</a>\n<a href="1.30.2/">1.30.2/</a> 01-Nov-2026\n<a href="1.31.0/">1.31.0/</a>\n<a href="notes-9.9.9.txt">notes</a></html>'
  const apache =
    '<table><tr><td><a href="/istio/1.30.2/">1.30.2/</a></td></tr><tr><td><a href=\'1.31.0/\'>1.31.0/</a></td></tr></table><address>Apache/2.4.66 (Unix) Server at <a href="https://httpd.test/9.9.9.9/">x</a></address>'
  const artifactory =
    '<pre><a href="1.30.2/">1.30.2/</a>  -\n<a href="1.31.0/">1.31.0/</a>  -\n</pre><hr/><address>Artifactory/7.117.5 Server</address>'
  const s3 =
    '<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>istio/1.30.2/istioctl-1.30.2-linux-amd64.tar.gz</Key></Contents><CommonPrefixes><Prefix>1.31.0/</Prefix></CommonPrefixes></ListBucketResult>'
  const json = [
    JSON.stringify(['1.30.2', 'v1.31.0']),
    '{ "versions": { "1.30.2": {}, "1.31.0": {} } }',
    '{ "releases": [{ "tag_name": "1.30.2" }, { "tag_name": "1.31.0", "name": "Istio 1.31.0" }] }',
  ]

  test.each<[string, string, string]>([
    ...json.map((text, i): [string, string, string] => [`index.json (${i + 1})`, 'index.json', text]),
    ['a page of nginx', '', nginx],
    ['a page of Apache', '', apache],
    ['a page of Artifactory', '', artifactory],
    ['a listing of S3', '', s3],
    ['a plain list of names', '', '1.30.2\n1.31.0\n'],
    ['an HTML page instead of index.json, which single-page applications serve', 'both', nginx],
  ])('is read from %s', async (_, at, text) => {
    const { address } = await serve(({ url }, response) =>
      at === 'both' || url === `/istio/${at}` ? response.end(text) : response.writeHead(404).end(),
    )
    const { versions, from } = await releasesOf(`${address}/istio`, { signal })
    expect(versions.sort()).toEqual(['1.30.2', '1.31.0'])
    expect(from).toBe(`${address}/istio/${at === 'both' ? '' : at}`)
  })

  test('is requested with the password of the mirror, which no error shows', async () => {
    const { address, requests } = await serve((_, response) => response.writeHead(403).end())
    expect(await refusal(releasesOf(`${address.replace('://', '://me:s3cret@')}/istio`, { signal }))).toBe(
      `istio.version: cannot read the list of releases: ${address}/istio/index.json answers HTTP 403, and ${address}/istio/ answers HTTP 403; give an exact version, or put an index.json with a list of versions on the mirror`,
    )
    expect(requests[0]!.headers.authorization).toBe(`Basic ${Buffer.from('me:s3cret').toString('base64')}`)
  })

  test('is rejected when the server says that it is incomplete', async () => {
    const { address } = await serve(({ url }, response) =>
      url === '/' ? response.end(s3.replace('false', 'true')) : response.writeHead(404).end(),
    )
    expect(await refusal(releasesOf(address, { signal }))).toContain('an incomplete listing (IsTruncated)')
  })

  test('is rejected when it names no version', async () => {
    const { address } = await serve((_, response) => response.end('{}'))
    expect(await refusal(releasesOf(address, { signal }))).toContain(
      `${address}/index.json names no version, and ${address}/ names no version`,
    )
  })
})

/** A GitHub Enterprise Server has the same API as GitHub, at the address that the runner gives. */
describe('the API of GitHub', () => {
  const release = (tag_name: string, more = {}) => ({
    tag_name,
    draft: false,
    prerelease: false,
    body: 'notes',
    assets: [],
    ...more,
  })
  const releases = [
    ...many.slice(0, 250).map((tag) => release(tag)),
    release('1.41.0-rc.1', { prerelease: true }),
    release('1.42.0', { prerelease: true }),
    release('1.43.0', { draft: true }),
    release('not-a-version'),
  ]

  async function github(answer?: Parameters<typeof serve>[0]) {
    const server = await serve(
      answer ??
        (({ url }, response) => {
          const { pathname, searchParams } = new URL(url, 'http://x')
          if (pathname !== '/api/v3/repos/mesh/istio/releases') return void response.writeHead(404).end()
          const from = (Number(searchParams.get('page')) - 1) * 100
          response.end(JSON.stringify(releases.slice(from, from + 100)))
        }),
    )
    vi.stubEnv('GITHUB_SERVER_URL', server.address)
    vi.stubEnv('GITHUB_API_URL', `${server.address}/api/v3`)
    return { ...server, mirror: `${server.address}/mesh/istio/releases/download` }
  }

  test('is read page by page with the token, without drafts and without prereleases that are marked as releases', async () => {
    const { mirror, requests } = await github()
    const { versions } = await releasesOf(mirror, { token: 'ghs_x', signal })
    expect(versions).toEqual([...many.slice(0, 250), '1.41.0-rc.1'])
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer ghs_x',
      'Bearer ghs_x',
      'Bearer ghs_x',
    ])
  })

  test('is read without a token when there is none', async () => {
    const { mirror, requests } = await github()
    await releasesOf(mirror, { signal })
    expect(requests[0]!.headers.authorization).toBeUndefined()
  })

  test('sends no token to another host to which it redirects', async () => {
    const other = await serve((_, response) => response.end('[]'))
    const { mirror } = await github((_, response) => response.writeHead(302, { location: other.address }).end())
    await releasesOf(mirror, { token: 'ghs_x', signal })
    expect(other.requests[0]!.headers.authorization).toBeUndefined()
  })

  test('is not used for a mirror, which gets no token', async () => {
    const { requests } = await github()
    const mirror = await serve((_, response) => response.end(JSON.stringify(['1.31.0'])))
    await releasesOf(`${mirror.address}/mesh/istio/releases/download`, { token: 'ghs_x', signal })
    expect(requests).toEqual([])
    expect(mirror.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  const reset = { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1795572000' }
  test.each<[string, number, Record<string, string>, string | undefined, string]>([
    [
      'of requests',
      403,
      reset,
      undefined,
      "GitHub's limit of 60 requests an hour is used up until 2026-11-25T02:00:00.000Z, and without a token it is low: give `token`, such as ${{ github.token }}; or give an exact version",
    ],
    [
      'of requests with a token',
      403,
      { ...reset, 'x-ratelimit-limit': '5000' },
      'ghs_x',
      "GitHub's limit of 5000 requests an hour is used up until 2026-11-25T02:00:00.000Z, although a token was given",
    ],
    [
      'of simultaneous requests',
      429,
      { 'retry-after': '3600' },
      undefined,
      "GitHub's limit of requests is used up, and without a token it is low",
    ],
  ])('causes an error that explains its limit %s', async (_, status, headers, token, message) => {
    const { mirror, requests } = await github((_, response) =>
      response.writeHead(status, headers).end('{"message":"API rate limit exceeded"}'),
    )
    expect(await refusal(releasesOf(mirror, { token, signal }))).toContain(message)
    expect(requests).toHaveLength(1)
  })

  test('causes an error when it rejects the token or sends no list of releases', async () => {
    const refusing = await github((_, response) => response.writeHead(401).end())
    expect(await refusal(releasesOf(refusing.mirror, { token: 'ghs_x', signal }))).toContain(
      'HTTP 401: GitHub refuses the token',
    )
    const odd = await github((_, response) => response.end('<html>a portal</html>'))
    expect(await refusal(releasesOf(odd.mirror, { signal }))).toMatch(
      /^istio.version: cannot read the list of releases at .*api\/v3.*not valid JSON/,
    )
  })
})
