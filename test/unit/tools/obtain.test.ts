import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync, writeFileSync } from 'node:fs'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { istioctlTool } from '../../../src/istioctl/release.ts'
import { obtain as obtainTool, type Options, type Tool } from '../../../src/tools/obtain.ts'
import { serve, tempFolder, type Asked } from '../fixtures.ts'

const version = '1.31.0'
const asset = istioctlTool.assetOf(version, process.platform, process.arch)
const signal = new AbortController().signal
let cache: string

beforeEach(() => {
  cache = tempFolder()
  vi.stubEnv('RUNNER_TOOL_CACHE', cache)
  vi.stubEnv('RUNNER_TEMP', tempFolder())
  // What tool-cache tells of its search.
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

/** Tried again at once, rather than after seconds. */
const obtain = (address: string, more: Partial<Options> = {}, wanted = version, tool: Tool = istioctlTool) =>
  obtainTool(tool, wanted, { mirror: `${address}/istio`, limitMs: 30_000, cache: false, signal, backOffMs: 1, ...more })

const program = '#!/bin/sh\necho istioctl\n'

/** An archive as Istio publishes it: one executable at its root. */
function archive(text = program): Buffer {
  const folder = tempFolder()
  writeFileSync(join(folder, 'istioctl'), text, { mode: 0o755 })
  return tar(folder, 'istioctl')
}

function tar(folder: string, ...args: string[]): Buffer {
  return execFileSync('tar', ['-C', folder, '-czPf', '-', ...args], { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 })
}

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

type Answer = (response: ServerResponse, headers: IncomingHttpHeaders) => unknown

/** A mirror in the layout of the releases; either file can be answered otherwise. */
function mirror(bytes: Buffer, { sum = `${sha256(bytes)} ${asset}\n`, file = (response) => response.end(bytes) }: { sum?: string | 404; file?: Answer } = {}) {
  return serve(({ url, headers }, response) => {
    if (url === `/istio/${version}/${asset}`) return void file(response, headers)
    if (url === `/istio/${version}/${asset}.sha256` && sum !== 404) return void response.end(sum)
    response.writeHead(404).end('not here')
  })
}

async function refused(address: string, more: Partial<Options> = {}, wanted = version): Promise<string> {
  const error: unknown = await obtain(address, more, wanted).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  // Whatever was refused is not to be found by the next run, as part of the cache.
  expect(existsSync(join(cache, 'istioctl', wanted, `${process.arch}.complete`))).toBe(false)
  expect(filesIn(cache)).toEqual([])
  return (error as Error).message
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory()).map(({ name }) => name)
}

const downloads = (asked: Asked[]) => asked.filter(({ url }) => url.endsWith(`/${asset}`))

test('a release is downloaded, verified, unpacked and can be run; the second time nothing is asked', async () => {
  const { address, asked } = await mirror(archive())
  const first = await obtain(address)
  expect(first).toMatchObject({ version, cacheHit: false, from: 'download', path: join(first.folder, 'istioctl') })
  expect(first.folder).toBe(join(cache, 'istioctl', version, process.arch))
  accessSync(first.path, constants.X_OK)
  expect(execFileSync(first.path).toString()).toBe('istioctl\n')
  expect(asked.map(({ url }) => url)).toEqual([`/istio/${version}/${asset}.sha256`, `/istio/${version}/${asset}`])

  expect(await obtain(address)).toEqual({ ...first, cacheHit: true, from: 'tool cache' })
  expect(asked).toHaveLength(2)
  expect(readdirSync(join(cache, 'istioctl'))).toEqual([version])
})

test('a tool that is published as a bare binary', async () => {
  const kind: Tool = { name: 'kind', key: 'kind', assetOf: () => 'kind-linux-amd64', addressOf: (mirror, wanted, file) => `${mirror}/v${wanted}/${file}`, sumsOf: (file) => `${file}.sha256sum`, binary: () => 'kind' }
  const { address } = await serve(({ url }, response) => response.end(url === '/istio/v0.30.0/kind-linux-amd64' ? program : `${sha256(program)}  kind-linux-amd64\n`))
  const { path } = await obtain(address, {}, '0.30.0', kind)
  expect(path).toBe(join(cache, 'kind', '0.30.0', process.arch, 'kind'))
  expect(execFileSync(path).toString()).toBe('istioctl\n')
})

test('another version is not taken from the cache', async () => {
  const { address } = await mirror(archive())
  await obtain(address)
  await expect(obtain(address, {}, '1.31.1')).rejects.toThrow('1.31.1 is not to be had')
})

test.each([
  ['in upper case', (hex: string) => hex.toUpperCase()],
  ['without the name', (hex: string) => hex],
  ['with two spaces and a carriage return', (hex: string) => `${hex}  ${asset}\r\n`],
])('a checksum %s is read', async (_, written) => {
  const bytes = archive()
  const { address } = await mirror(bytes, { sum: written(sha256(bytes)) })
  expect((await obtain(address)).cacheHit).toBe(false)
})

test('a file that does not match its checksum is not unpacked, and both sums are told', async () => {
  const bytes = archive()
  const wrong = 'a'.repeat(64)
  const { address } = await mirror(bytes, { sum: `${wrong} ${asset}\n` })
  const message = await refused(address)
  for (const word of ['istio.mirror', `${address}/istio/${version}/${asset}`, wrong, sha256(bytes), 'nothing was unpacked']) expect(message).toContain(word)
})

test('a file cut short by its server does not match its checksum', async () => {
  const bytes = archive()
  const { address } = await mirror(bytes, { file: (response) => response.end(bytes.subarray(0, 20)) })
  expect(await refused(address)).toContain(`its checksum file says ${sha256(bytes)}, the file has ${sha256(bytes.subarray(0, 20))}`)
})

test.each([
  ['an empty one', '\n', 'holds no sha256 but nothing'],
  ['a page', '<!doctype html>\n<title>Log in</title>', 'holds no sha256 but "<!doctype html>'],
])('%s in place of the checksum matches nothing, and nothing is downloaded', async (_, sum, message) => {
  const { address, asked } = await mirror(archive(), { sum })
  expect(await refused(address)).toContain(message)
  expect(downloads(asked)).toEqual([])
})

test('a mirror without the checksum is refused, although it has the file', async () => {
  const { address } = await mirror(archive(), { sum: 404 })
  expect(await refused(address)).toContain(`${asset}.sha256 answers 404`)
})

test('a checksum that is given is held to instead of the published one, which is not asked for', async () => {
  const bytes = archive()
  const { address, asked } = await mirror(bytes, { sum: 404 })
  expect(await refused(address, { sha256: 'b'.repeat(64) })).toContain(`\`istio.sha256\` says ${'b'.repeat(64)}, the file has ${sha256(bytes)}`)
  expect((await obtain(address, { sha256: sha256(bytes) })).from).toBe('download')
  expect(asked).toEqual(downloads(asked))
  // What is in the tool cache has to be of that sum too.
  expect((await obtain(address, { sha256: sha256(bytes) })).from).toBe('tool cache')
  await expect(obtain(address, { sha256: 'b'.repeat(64) })).rejects.toThrow('does not match')
})

test('a version that does not exist is named, with the address and what to check', async () => {
  const { address, asked } = await serve((_, response) => response.writeHead(404).end())
  const message = await refused(address, {}, '9.9.9')
  for (const word of ['istio.version: 9.9.9 is not to be had', `${address}/istio/9.9.9/`, '404', "list of istioctl's releases"]) expect(message).toContain(word)
  expect(asked).toHaveLength(1)
})

test.each<[string, Answer, string, number]>([
  ['that fails', (response) => response.writeHead(500).end(), 'HTTP 500', 4],
  ['that forbids', (response) => response.writeHead(403).end(), 'HTTP 403', 1],
  ['that wants a password', (response) => response.writeHead(401).end(), 'HTTP 401', 1],
  ['that breaks off before a byte', (response) => response.destroy(), 'ECONNRESET', 4],
])('a server %s is told, with the address and the reason', async (_, file, reason, times) => {
  const { address, asked } = await mirror(archive(), { file })
  const message = await refused(address)
  for (const word of ['istio.mirror', `${address}/istio/${version}/${asset}`, 'cannot be downloaded', reason, 'network of the runner']) expect(message).toContain(word)
  expect(downloads(asked)).toHaveLength(times)
})

test('a server that is not there is told', async () => {
  expect(await refused('http://127.0.0.1:1')).toContain('cannot be downloaded (ECONNREFUSED)')
})

test.each([500, 502, 503, 429])('a server that answers %d twice is asked a third time', async (status) => {
  const bytes = archive()
  let calls = 0
  const { address } = await mirror(bytes, { file: (response) => (++calls <= 2 ? response.writeHead(status).end() : response.end(bytes)) })
  expect((await obtain(address)).from).toBe('download')
  expect(calls).toBe(3)
})

/** So large that it comes in pieces. */
const large = () => archive(`${program}# ${Array.from({ length: 200_000 }, () => Math.random().toString(36)).join('')}\n`)

test('a download that breaks off goes on where it was', async () => {
  const bytes = large()
  const half = bytes.length >> 1
  const ranges: (string | undefined)[] = []
  const { address } = await mirror(bytes, {
    file: (response, { range, 'if-range': known }) => {
      ranges.push(range)
      if (!range) return response.writeHead(200, { 'content-length': bytes.length, etag: '"one"' }).write(bytes.subarray(0, half), () => setTimeout(() => response.destroy(), 50))
      expect(known).toBe('"one"')
      const from = Number(/\d+/.exec(range)![0])
      return response.writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`, etag: '"one"' }).end(bytes.subarray(from))
    },
  })
  expect(execFileSync((await obtain(address)).path).toString()).toBe('istioctl\n')
  expect(ranges).toEqual([undefined, `bytes=${half}-`])
})

