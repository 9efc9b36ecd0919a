import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { obtain } from '../../../src/istioctl/download.ts'
import { assetOf } from '../../../src/istioctl/release.ts'
import { serve, tempFolder } from '../fixtures.ts'

const version = '1.31.0'
const asset = assetOf(version, process.platform, process.arch)
let cache: string

beforeEach(() => {
  cache = tempFolder()
  vi.stubEnv('RUNNER_TOOL_CACHE', cache)
  vi.stubEnv('RUNNER_TEMP', tempFolder())
  // tool-cache's own switch for its tests: it retries at once rather than after 10 to 20 s.
  vi.stubGlobal('TEST_DOWNLOAD_TOOL_RETRY_MIN_SECONDS', 0)
  vi.stubGlobal('TEST_DOWNLOAD_TOOL_RETRY_MAX_SECONDS', 0)
  // tar's command line, which tool-cache prints.
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
})

afterEach(() => {
  vi.unstubAllEnvs()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

/** An archive as Istio publishes it: one executable at its root. */
function archive(): Buffer {
  const folder = tempFolder()
  writeFileSync(join(folder, 'istioctl'), '#!/bin/sh\necho istioctl\n', { mode: 0o755 })
  execFileSync('tar', ['-czf', 'archive.tgz', 'istioctl'], { cwd: folder })
  return readFileSync(join(folder, 'archive.tgz'))
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** A mirror in the layout of the releases; either file can be answered otherwise. */
function mirror(bytes: Buffer, { sum = `${sha256(bytes)} ${asset}\n`, file = (response) => response.end(bytes) }: { sum?: string | undefined | 404; file?: (response: ServerResponse) => unknown } = {}) {
  return serve(({ url }, response) => {
    if (url === `/istio/${version}/${asset}`) return void file(response)
    if (url === `/istio/${version}/${asset}.sha256` && sum !== 404) return void response.end(sum)
    response.writeHead(404).end('not here')
  })
}

async function refused(address: string, wanted = version): Promise<string> {
  const error: unknown = await obtain(wanted, `${address}/istio`).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  // Whatever was refused is not to be found by the next run, as part of the cache.
  expect(existsSync(join(cache, 'istioctl'))).toBe(false)
  return (error as Error).message
}

test('a release is downloaded, verified, unpacked and can be run; the second time nothing is asked', async () => {
  const { address, asked } = await mirror(archive())
  const first = await obtain(version, `${address}/istio`)
  expect(first).toMatchObject({ version, cacheHit: false, path: join(first.folder, 'istioctl') })
  expect(first.folder.startsWith(cache)).toBe(true)
  accessSync(first.path, constants.X_OK)
  expect(asked.map(({ url }) => url).sort()).toEqual([`/istio/${version}/${asset}`, `/istio/${version}/${asset}.sha256`])

  expect(await obtain(version, `${address}/istio`)).toEqual({ ...first, cacheHit: true })
  expect(asked).toHaveLength(2)
})

test('another version is not taken from the cache', async () => {
  const { address } = await mirror(archive())
  await obtain(version, `${address}/istio`)
  await expect(obtain('1.31.1', `${address}/istio`)).rejects.toThrow('1.31.1 is not to be had')
})

test.each([
  ['in upper case', (hex: string) => hex.toUpperCase()],
  ['without the name', (hex: string) => hex],
  ['with two spaces and a carriage return', (hex: string) => `${hex}  ${asset}\r\n`],
])('a checksum %s is read', async (_, written) => {
  const bytes = archive()
  const { address } = await mirror(bytes, { sum: written(sha256(bytes)) })
  expect((await obtain(version, `${address}/istio`)).cacheHit).toBe(false)
})

test('a file that does not match its checksum is not unpacked, and both sums are told', async () => {
  const bytes = archive()
  const wrong = 'a'.repeat(64)
  const { address } = await mirror(bytes, { sum: `${wrong} ${asset}\n` })
  const message = await refused(address)
  for (const word of ['istio.mirror', `${address}/istio/${version}/${asset}`, wrong, sha256(bytes), 'nothing was unpacked']) expect(message).toContain(word)
  expect(readdirSync(cache)).toEqual([])
})

test('a file cut short by its server does not match its checksum', async () => {
  const bytes = archive()
  const { address } = await mirror(bytes, { file: (response) => response.end(bytes.subarray(0, 20)) })
  expect(await refused(address)).toContain(`its .sha256 says ${sha256(bytes)}, the file has ${sha256(bytes.subarray(0, 20))}`)
})

test('an empty checksum matches nothing', async () => {
  const { address } = await mirror(archive(), { sum: '\n' })
  expect(await refused(address)).toContain('its .sha256 says nothing')
})

test('a mirror without the checksum is refused, although it has the file', async () => {
  const { address } = await mirror(archive(), { sum: 404 })
  expect(await refused(address)).toContain(`${asset}.sha256 answers 404`)
})

test('a version that does not exist is named, with the address and what to check', async () => {
  const { address, asked } = await serve((_, response) => response.writeHead(404).end())
  const message = await refused(address, '9.9.9')
  for (const word of ['istio.version: 9.9.9 is not to be had', `${address}/istio/9.9.9/`, '404', "list of Istio's releases"]) expect(message).toContain(word)
  // A 404 is an answer: neither of the two files is asked for again.
  expect(new Set(asked.map(({ url }) => url)).size).toBe(asked.length)
})

test.each<[string, (response: ServerResponse) => unknown, string]>([
  ['that fails', (response) => response.writeHead(500).end(), 'HTTP 500'],
  ['that forbids', (response) => response.writeHead(403).end(), 'HTTP 403'],
  ['that breaks off in the middle', (response) => response.writeHead(200, { 'content-length': '1000' }).write('x'.repeat(500), () => response.destroy()), 'ECONNRESET'],
])('a server %s is told, with the address and the reason', async (_, file, reason) => {
  const { address } = await mirror(archive(), { file })
  const message = await refused(address)
  for (const word of ['istio.mirror', `${address}/istio/${version}/${asset}`, 'cannot be downloaded', reason, 'network of the runner']) expect(message).toContain(word)
})

test('a server that is busy once is asked again', async () => {
  const bytes = archive()
  let calls = 0
  const { address } = await mirror(bytes, { file: (response) => (++calls === 1 ? response.writeHead(503).end() : response.end(bytes)) })
  expect((await obtain(version, `${address}/istio`)).cacheHit).toBe(false)
  expect(calls).toBe(2)
})

test('a server that is not there is told', async () => {
  expect(await refused('http://127.0.0.1:1')).toContain('cannot be downloaded (ECONNREFUSED)')
})
