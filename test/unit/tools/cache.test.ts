// The cache between runs. e2e/releases.test.ts uses the server of act; here a small server speaks the same protocol,
// because a real one does not exchange an entry, fail or hang on demand.
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { saveCache } from '@actions/cache'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { istioctlTool } from '../../../src/istioctl/release.ts'
import { obtain, type Options } from '../../../src/tools/obtain.ts'
import { serve, tempFolder } from '../fixtures.ts'
import { archive } from './archives.ts'

const version = '1.31.0'
const asset = istioctlTool.assetOf(version, process.platform, process.arch)
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const keyOf = (bytes: Buffer) => `mesh-canary-istioctl-${version}-${process.platform}-${process.arch}-${sha256(bytes)}`
let printed: string

beforeEach(() => {
  printed = ''
  vi.stubEnv('RUNNER_TEMP', tempFolder())
  vi.stubEnv('GITHUB_SERVER_URL', 'https://github.com')
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    printed += String(chunk)
    return true
  })
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

/** A cache service with version 1 of the protocol. It stores entries under their keys. */
async function cacheService(fail?: (response: ServerResponse) => unknown) {
  const entries = new Map<string, Buffer>()
  const keys: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const url = new URL(request.url!, 'http://x')
        const [what, id] = url.pathname.replace('/_apis/artifactcache/', '').split('/')
        const body = Buffer.concat(chunks)
        if (fail) return void fail(response)
        if (what === 'cache') {
          const key = url.searchParams.get('keys')!
          return entries.has(key)
            ? response.end(
                JSON.stringify({ cacheKey: key, archiveLocation: `${address}/_apis/artifactcache/artifacts/${key}` }),
              )
            : response.writeHead(204).end()
        }
        if (what === 'artifacts')
          return response
            .writeHead(200, { 'content-length': entries.get(id!)!.length })
            .end(request.method === 'HEAD' ? undefined : ranged(entries.get(id!)!, request.headers.range))
        if (request.method === 'PATCH') entries.set(keys[Number(id)]!, body)
        const isReserved = request.method === 'POST' && id === undefined
        return isReserved
          ? response.end(
              JSON.stringify({ cacheId: keys.push((JSON.parse(body.toString()) as { key: string }).key) - 1 }),
            )
          : response.writeHead(204).end()
      })
  })
  keys.push('(ids begin at 1)')
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  vi.stubEnv('ACTIONS_CACHE_URL', `${address}/`)
  return { entries }
}

function ranged(bytes: Buffer, range?: string): Buffer {
  const [, from, to] = /(\d+)-(\d+)/.exec(range ?? '') ?? []
  return from === undefined ? bytes : bytes.subarray(Number(from), Number(to) + 1)
}

async function mirror(bytes: Buffer) {
  const { address, requests } = await serve(({ url }, response) =>
    response.end(url.endsWith('.sha256') ? `${sha256(bytes)} ${asset}\n` : bytes),
  )
  return { address, downloads: () => requests.filter(({ url }) => url.endsWith(asset)).length }
}

/** Obtains the tool on a fresh runner: the tool cache is empty, and the temporary folder is that of all tests. */
async function onFreshRunner(address: string, more: Partial<Options> = {}) {
  vi.stubEnv('RUNNER_TOOL_CACHE', tempFolder())
  const logged: string[] = []
  const log = {
    info: (line: string) => void logged.push(line),
    warning: (line: string) => void logged.push(`warning: ${line}`),
  }
  const { from, cacheHit } = await obtain(istioctlTool, version, {
    mirror: address,
    limitMs: 20_000,
    cache: true,
    signal: new AbortController().signal,
    log,
    ...more,
  })
  return { from, cacheHit, logged }
}

test('the second runner downloads only the checksum', async () => {
  const { entries } = await cacheService()
  const bytes = archive()
  const { address, downloads } = await mirror(bytes)
  expect(await onFreshRunner(address)).toEqual({ from: 'download', cacheHit: false, logged: [] })
  expect([...entries.keys()]).toEqual([keyOf(bytes)])
  expect(await onFreshRunner(address)).toEqual({ from: 'cache', cacheHit: true, logged: [] })
  expect(downloads()).toBe(1)
  // The progress lines of the library do not belong in the log.
  expect(printed.replace(/^::debug::.*\n/gm, '')).toBe('')
})

test('obtain reports a manipulated entry, ignores it and downloads the release', async () => {
  await cacheService()
  const [bytes, evil] = [archive(), archive('#!/bin/sh\necho evil\n')]
  // Any workflow with write access to the cache can do this.
  const place = join(process.env['RUNNER_TEMP']!, 'mesh-canary-cache', keyOf(bytes))
  mkdirSync(dirname(place))
  writeFileSync(place, evil)
  await saveCache([place], keyOf(bytes))
  const { address, downloads } = await mirror(bytes)
  const { from, logged } = await onFreshRunner(address)
  expect(from).toBe('download')
  expect(downloads()).toBe(1)
  expect(logged[0]).toBe(
    `warning: cache: ignoring the entry ${keyOf(bytes)} of the cache between runs: its file has the sha256 ${sha256(evil)}, expected ${sha256(bytes)}; find out who put it there, and delete it (gh cache delete ${keyOf(bytes)})`,
  )
})

test.each<[string, (response: ServerResponse) => unknown, RegExp]>([
  ['fails', (response) => response.writeHead(500).end(), /Failed to (restore|save): .*500/],
  ['closes the connection', (response) => response.destroy(), /Failed to (restore|save): /],
  ['refuses the request', (response) => response.writeHead(403).end(), /Failed to (restore|save): /],
])(
  'obtain reports a cache service that %s in one line, without an annotation or an error',
  async (_, fail, complaint) => {
    // The library waits 5 s before it tries again.
    const { setTimeout } = globalThis
    vi.stubGlobal('setTimeout', (callback: () => void, ms: number) => setTimeout(callback, ms / 100))
    await cacheService(fail)
    const { from, logged } = await onFreshRunner((await mirror(archive())).address, { limitMs: 10_000_000 })
    expect(from).toBe('download')
    expect(logged).toHaveLength(2)
    expect(logged[0]).toMatch(/^cannot read the cache between runs, continuing without it: /)
    expect(logged[1]).toMatch(/^cannot write to the cache between runs, continuing without it: /)
    for (const line of logged) expect(line).toMatch(complaint)
    expect(printed).not.toMatch(/::(warning|error)/)
  },
)

test('obtain waits half of its time for a cache service that does not answer, and continues without it', async () => {
  await cacheService(() => undefined)
  const { from, logged } = await onFreshRunner((await mirror(archive())).address, { limitMs: 4000 })
  expect([from, logged[0]]).toEqual([
    'download',
    'cannot read the cache between runs, continuing without it: the cache service timed out after 2 s',
  ])
})

test.each<[string, Record<string, string>, Partial<Options>]>([
  ['there is no cache service', { ACTIONS_CACHE_URL: '' }, {}],
  ['the cache is turned off', {}, { cache: false }],
  // A GitHub Enterprise Server without a cache service still sets the address of other services.
  [
    'a GitHub Enterprise Server has no cache service',
    { ACTIONS_CACHE_URL: '', ACTIONS_RESULTS_URL: 'http://127.0.0.1:1/', GITHUB_SERVER_URL: 'https://git.example' },
    {},
  ],
])('obtain reports nothing when %s', async (_, env, more) => {
  const { entries } = await cacheService()
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  expect(await onFreshRunner((await mirror(archive())).address, more)).toEqual({
    from: 'download',
    cacheHit: false,
    logged: [],
  })
  expect(entries.size).toBe(0)
})
