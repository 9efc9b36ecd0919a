import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ConfigError } from '../../../src/config/error.ts'
import { istioctlTool } from '../../../src/istioctl/release.ts'
import { obtain as obtainTool, type Options } from '../../../src/tools/obtain.ts'
import type { Tool } from '../../../src/tools/tool.ts'
import { serve, tempFolder, type ReceivedRequest } from '../fixtures.ts'
import { archive, program } from './archives.ts'

const version = '1.31.0'
const asset = istioctlTool.assetOf(version, process.platform, process.arch)
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

const silent = { info: () => undefined, warning: () => undefined }

/** Obtains istioctl, and retries without a pause. */
const obtain = (address: string, more: Partial<Options> = {}, wanted = version, tool: Tool = istioctlTool) =>
  obtainTool(tool, wanted, {
    mirror: `${address}/istio`,
    limitMs: 30_000,
    cache: false,
    signal,
    log: silent,
    backOffMs: 1,
    ...more,
  })

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

type Answer = (response: ServerResponse, headers: IncomingHttpHeaders) => unknown

/** A mirror with the layout of the releases. A test can replace either answer. */
function mirror(
  bytes: Buffer,
  {
    sum = `${sha256(bytes)} ${asset}\n`,
    file = (response) => response.end(bytes),
  }: { sum?: string | 404; file?: Answer } = {},
) {
  return serve(({ url, headers }, response) => {
    if (url === `/istio/${version}/${asset}`) return void file(response, headers)
    if (url === `/istio/${version}/${asset}.sha256` && sum !== 404) return void response.end(sum)
    response.writeHead(404).end('not here')
  })
}

async function errorOf(address: string, more: Partial<Options> = {}, wanted = version): Promise<string> {
  const error: unknown = await obtain(address, more, wanted).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  // The next run must not find a rejected file in the tool cache.
  expect(existsSync(join(cache, 'istioctl', wanted, `${process.arch}.complete`))).toBe(false)
  expect(filesIn(cache)).toEqual([])
  return (error as Error).message
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)
}

const downloads = (requests: ReceivedRequest[]) => requests.filter(({ url }) => url.endsWith(`/${asset}`))

test('obtain downloads, verifies and unpacks a release that then runs; the second call sends no request', async () => {
  const { address, requests } = await mirror(archive())
  const first = await obtain(address)
  expect(first).toMatchObject({ version, cacheHit: false, from: 'download', path: join(first.folder, 'istioctl') })
  expect(first.folder).toBe(join(cache, 'istioctl', version, process.arch))
  accessSync(first.path, constants.X_OK)
  expect(execFileSync(first.path).toString()).toBe('istioctl\n')
  expect(requests.map(({ url }) => url)).toEqual([`/istio/${version}/${asset}.sha256`, `/istio/${version}/${asset}`])

  expect(await obtain(address)).toEqual({ ...first, cacheHit: true, from: 'tool cache' })
  expect(requests).toHaveLength(2)
  expect(readdirSync(join(cache, 'istioctl'))).toEqual([version])
})

test('obtain installs a tool that is published as a bare binary', async () => {
  const kind: Tool = {
    name: 'kind',
    key: 'kind',
    assetOf: () => 'kind-linux-amd64',
    addressOf: (mirror, wanted, file) => `${mirror}/v${wanted}/${file}`,
    sumsOf: (file) => `${file}.sha256sum`,
    binary: () => 'kind',
  }
  const { address } = await serve(({ url }, response) =>
    response.end(url === '/istio/v0.30.0/kind-linux-amd64' ? program : `${sha256(program)}  kind-linux-amd64\n`),
  )
  const { path } = await obtain(address, {}, '0.30.0', kind)
  expect(path).toBe(join(cache, 'kind', '0.30.0', process.arch, 'kind'))
  expect(execFileSync(path).toString()).toBe('istioctl\n')
})

test('obtain does not use another version from the tool cache', async () => {
  const { address } = await mirror(archive())
  await obtain(address)
  await expect(obtain(address, {}, '1.31.1')).rejects.toThrow('1.31.1 not found')
})

test.each([
  ['in upper case', (hex: string) => hex.toUpperCase()],
  ['without the name', (hex: string) => hex],
  ['with two spaces and a carriage return', (hex: string) => `${hex}  ${asset}\r\n`],
])('obtain reads a checksum %s', async (_, written) => {
  const bytes = archive()
  const { address } = await mirror(bytes, { sum: written(sha256(bytes)) })
  expect((await obtain(address)).cacheHit).toBe(false)
})

test('obtain does not unpack a file that does not match its checksum, and names both checksums', async () => {
  const bytes = archive()
  const wrong = 'a'.repeat(64)
  const { address } = await mirror(bytes, { sum: `${wrong} ${asset}\n` })
  const message = await errorOf(address)
  for (const word of [
    'istio.mirror',
    `${address}/istio/${version}/${asset}`,
    wrong,
    sha256(bytes),
    'nothing was unpacked',
  ])
    expect(message).toContain(word)
})

test('obtain rejects a file that the server cut short, because its checksum differs', async () => {
  const bytes = archive()
  const { address } = await mirror(bytes, { file: (response) => response.end(bytes.subarray(0, 20)) })
  expect(await errorOf(address)).toContain(
    `its checksum file says ${sha256(bytes)}, the file has ${sha256(bytes.subarray(0, 20))}`,
  )
})

test.each([
  ['an empty file', '\n', 'holds nothing, expected a sha256'],
  ['an HTML page', '<!doctype html>\n<title>Log in</title>', 'holds "<!doctype html>'],
])('obtain downloads nothing when the mirror serves %s instead of the checksum', async (_, sum, message) => {
  const { address, requests } = await mirror(archive(), { sum })
  expect(await errorOf(address)).toContain(message)
  expect(downloads(requests)).toEqual([])
})

test('obtain rejects a mirror that has the file but no checksum', async () => {
  const { address } = await mirror(archive(), { sum: 404 })
  expect(await errorOf(address)).toContain(`${asset}.sha256 answers 404`)
})

test('obtain verifies against the given checksum and does not request the published one', async () => {
  const bytes = archive()
  const { address, requests } = await mirror(bytes, { sum: 404 })
  expect(await errorOf(address, { sha256: 'b'.repeat(64) })).toContain(
    `\`istio.sha256\` says ${'b'.repeat(64)}, the file has ${sha256(bytes)}`,
  )
  expect((await obtain(address, { sha256: sha256(bytes) })).from).toBe('download')
  expect(requests).toEqual(downloads(requests))
  // An entry of the tool cache must match that checksum too.
  expect((await obtain(address, { sha256: sha256(bytes) })).from).toBe('tool cache')
  await expect(obtain(address, { sha256: 'b'.repeat(64) })).rejects.toThrow('does not match')
})

test('obtain reports a version that does not exist, with its address and what to check', async () => {
  const { address, requests } = await serve((_, response) => response.writeHead(404).end())
  const message = await errorOf(address, {}, '9.9.9')
  for (const word of [
    'istio.version: 9.9.9 not found',
    `${address}/istio/9.9.9/`,
    '404',
    "list of istioctl's releases",
  ])
    expect(message).toContain(word)
  expect(requests).toHaveLength(1)
})

test.each<[string, Answer, string, number]>([
  ['that fails', (response) => response.writeHead(500).end(), 'HTTP 500', 4],
  ['that forbids', (response) => response.writeHead(403).end(), 'HTTP 403', 1],
  ['that requires a password', (response) => response.writeHead(401).end(), 'HTTP 401', 1],
  ['that closes the connection before the first byte', (response) => response.destroy(), 'ECONNRESET', 4],
])('obtain reports a server %s, with the address and the reason', async (_, file, reason, times) => {
  const { address, requests } = await mirror(archive(), { file })
  const message = await errorOf(address)
  for (const word of [
    'istio.mirror',
    `${address}/istio/${version}/${asset}`,
    'cannot download',
    reason,
    'network of the runner',
  ])
    expect(message).toContain(word)
  expect(downloads(requests)).toHaveLength(times)
})

test('obtain reports a server that refuses connections', async () => {
  expect(await errorOf('http://127.0.0.1:1')).toMatch(/cannot download http:\S+ \(ECONNREFUSED\)/)
})

test.each([500, 502, 503, 429])('obtain retries a second time when a server answers %d twice', async (status) => {
  const bytes = archive()
  let calls = 0
  const { address } = await mirror(bytes, {
    file: (response) => (++calls <= 2 ? response.writeHead(status).end() : response.end(bytes)),
  })
  expect((await obtain(address)).from).toBe('download')
  expect(calls).toBe(3)
})

/** A file so large that it arrives in pieces. */
const large = () => archive(`${program}# ${randomBytes(300_000).toString('hex')}\n`)

test('obtain resumes an interrupted download', async () => {
  const bytes = large()
  const half = bytes.length >> 1
  const ranges: (string | undefined)[] = []
  const { address } = await mirror(bytes, {
    file: (response, { range, 'if-range': known }) => {
      ranges.push(range)
      if (!range)
        return response
          .writeHead(200, { 'content-length': bytes.length, etag: '"one"' })
          .write(bytes.subarray(0, half), () => setTimeout(() => response.destroy(), 50))
      expect(known).toBe('"one"')
      const from = Number(/\d+/.exec(range)![0])
      return response
        .writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`, etag: '"one"' })
        .end(bytes.subarray(from))
    },
  })
  expect(execFileSync((await obtain(address)).path).toString()).toBe('istioctl\n')
  expect(ranges).toEqual([undefined, `bytes=${half}-`])
})

test.each([
  ['has an ETag', { etag: '"old"' }],
  ['has only a modification date', { 'last-modified': 'Mon, 23 Nov 2026 07:00:00 GMT' }],
])(
  'obtain requests the rest of a file that %s only if it is unchanged, and otherwise starts again',
  async (_, known) => {
    const bytes = large()
    const ranges: (string | undefined)[] = []
    const { address } = await mirror(bytes, {
      file: (response, { range, 'if-range': was }) => {
        ranges.push(range && `${range} if ${String(was)}`)
        if (ranges.length > 1) return response.end(bytes)
        return response
          .writeHead(200, { 'content-length': bytes.length, ...known })
          .write(Buffer.alloc(1000), () => setTimeout(() => response.destroy(), 50))
      },
    })
    expect((await obtain(address)).from).toBe('download')
    expect(ranges).toEqual([undefined, `bytes=1000- if ${Object.values(known)[0]!}`])
  },
)

test('obtain starts again when the server sends only a weak ETag', async () => {
  const bytes = large()
  const ranges: (string | undefined)[] = []
  const { address } = await mirror(bytes, {
    file: (response, { range }) => {
      ranges.push(range)
      if (ranges.length > 1) return response.end(bytes)
      return response
        .writeHead(200, { 'content-length': bytes.length, etag: 'W/"weak"' })
        .write(Buffer.alloc(1000), () => setTimeout(() => response.destroy(), 50))
    },
  })
  expect((await obtain(address)).from).toBe('download')
  expect(ranges).toEqual([undefined, undefined])
})

test('obtain keeps resuming as long as each attempt receives more of the file', async () => {
  const bytes = large()
  const step = Math.ceil(bytes.length / 10)
  let calls = 0
  const { address } = await mirror(bytes, {
    file: (response, { range = 'bytes=0-' }) => {
      calls++
      const from = Number(/\d+/.exec(range)![0])
      response.writeHead(from === 0 ? 200 : 206, {
        'content-length': bytes.length - from,
        'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
        etag: '"one"',
      })
      if (from + step >= bytes.length) return response.end(bytes.subarray(from))
      return response.write(bytes.subarray(from, from + step), () => setTimeout(() => response.destroy(), 50))
    },
  })
  expect((await obtain(address)).from).toBe('download')
  // A busy machine may cut an attempt off before all of its bytes have left.
  expect(calls).toBeGreaterThanOrEqual(10)
})

test('obtain reports a mirror that is too slow, with the bytes received', async () => {
  const bytes = large()
  const { address } = await mirror(bytes, {
    file: (response) => response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, 200_000)),
  })
  const message = await errorOf(address, { limitMs: 500 })
  expect(message).toMatch(
    /^istio.mirror: the download from http:\S+\/istio timed out after 0.5 s \(`limits.download`; 0\.2 of 0\.\d MB received\); /,
  )
})

test('obtain waits as long as a busy server asks, unless that is too long', async () => {
  let calls = 0
  const bytes = archive()
  const busy =
    (seconds: number): Answer =>
    (response) =>
      ++calls === 1 ? response.writeHead(429, { 'retry-after': String(seconds) }).end() : response.end(bytes)
  const patient = await mirror(bytes, { file: busy(3600) })
  expect(await errorOf(patient.address)).toContain('HTTP 429')
  expect(calls).toBe(1)
  calls = 0
  const short = await mirror(bytes, { file: busy(1) })
  const began = Date.now()
  expect((await obtain(short.address)).from).toBe('download')
  expect(Date.now() - began).toBeGreaterThanOrEqual(1000)
})

test('obtain stops with the reason of the signal when the run is cancelled', async () => {
  const cancel = new AbortController()
  const { address } = await mirror(archive(), { file: () => cancel.abort(new Error('the run was cancelled')) })
  await expect(obtain(address, { signal: cancel.signal })).rejects.toThrow('the run was cancelled')
  expect(filesIn(cache)).toEqual([])
})

describe('a redirect', () => {
  test('to another server is followed without credentials', async () => {
    const bytes = archive()
    const storage = await serve((_, response) => response.end(bytes))
    const { address, requests } = await mirror(bytes, {
      file: (response) => response.writeHead(302, { location: `${storage.address}/blob?signature=x` }).end(),
    })
    expect((await obtain(address.replace('://', '://me:s3cret@'))).from).toBe('download')
    expect(requests.map(({ headers }) => headers.authorization)).toEqual(
      Array(2).fill(`Basic ${Buffer.from('me:s3cret').toString('base64')}`),
    )
    expect(storage.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
      ['/blob?signature=x', undefined],
    ])
  })

  test('to a path on the same server is followed with the credentials', async () => {
    const bytes = archive()
    const { address, requests } = await serve(({ url }, response) => {
      if (url.endsWith('.sha256')) return void response.end(sha256(bytes))
      if (url === '/moved') return void response.end(bytes)
      response.writeHead(307, { location: '/moved' }).end()
    })
    await obtain(address.replace('://', '://me:100%@'))
    expect(new Set(requests.map(({ headers }) => headers.authorization))).toEqual(
      new Set([`Basic ${Buffer.from('me:100%').toString('base64')}`]),
    )
  })

  test('in a circle ends with an error', async () => {
    const { address, requests } = await mirror(archive(), {
      file: (response) => response.writeHead(302, { location: `/istio/${version}/${asset}` }).end(),
    })
    expect(await errorOf(address)).toContain('redirects more than 5 times')
    expect(downloads(requests)).toHaveLength(6)
  })

  test('from https to http is not followed', async () => {
    const folder = tempFolder()
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=127.0.0.1',
        '-keyout',
        'key',
        '-out',
        'crt',
      ],
      { cwd: folder, stdio: 'ignore' },
    )
    // This certificate is self-signed.
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0')
    vi.spyOn(process, 'emitWarning').mockReturnValue()
    const { address, requests } = await mirror(archive())
    const secure = createServer(
      { key: readFileSync(join(folder, 'key')), cert: readFileSync(join(folder, 'crt')) },
      ({ url = '' }, response) => response.writeHead(302, { location: `${address}${url}` }).end(),
    )
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void secure.close())
    const from = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`
    expect(await errorOf(from)).toContain(
      `redirects from https to ${address}/istio/${version}/${asset}.sha256, where anybody on the way could change the file; the redirect was not followed`,
    )
    expect(requests).toEqual([])
  })

  test.each([
    ['to a file', 'file:///etc/passwd'],
    ['without a host', 'http://'],
  ])('%s is not followed', async (_, location) => {
    const { address } = await mirror(archive(), { file: (response) => response.writeHead(302, { location }).end() })
    expect(await errorOf(address)).toContain(`redirects to ${location}, which is no http or https address`)
  })

  test('never shows the password of the mirror in an error', async () => {
    const { address } = await mirror(archive(), { file: (response) => response.writeHead(500).end() })
    expect(await errorOf(address.replace('://', '://me:s3cret@'))).not.toContain('s3cret')
  })
})

describe('the tool cache', () => {
  const folder = () => join(cache, 'istioctl', version, process.arch)
  const binary = () => join(folder(), 'istioctl')

  test.each<[string, () => void]>([
    ['whose binary was changed', () => writeFileSync(binary(), '#!/bin/sh\necho evil\n')],
    ['whose binary was cut short', () => writeFileSync(binary(), '')],
    ['whose record was cut short', () => writeFileSync(join(folder(), '.istioctl.json'), '{"bin')],
  ])('replaces an entry %s', async (_, spoil) => {
    const { address } = await mirror(archive())
    await obtain(address)
    spoil()
    expect((await obtain(address)).from).toBe('download')
    expect(execFileSync(binary()).toString()).toBe('istioctl\n')
    expect((await obtain(address)).from).toBe('tool cache')
  })

  test('replaces a half-written folder without the marker', async () => {
    mkdirSync(folder(), { recursive: true })
    writeFileSync(binary(), '#!/bin/sh\necho half')
    const { address } = await mirror(archive())
    expect((await obtain(address)).from).toBe('download')
    expect(execFileSync(binary()).toString()).toBe('istioctl\n')
    expect(existsSync(`${folder()}.complete`)).toBe(true)
  })

  test('uses an entry of another action, except when a checksum is given', async () => {
    mkdirSync(folder(), { recursive: true })
    writeFileSync(binary(), '#!/bin/sh\necho theirs\n')
    chmodSync(binary(), 0o755)
    writeFileSync(`${folder()}.complete`, '')
    const bytes = archive()
    const { address } = await mirror(bytes)
    expect((await obtain(address)).from).toBe('tool cache')
    expect((await obtain(address, { sha256: sha256(bytes) })).from).toBe('download')
    expect(readFileSync(binary(), 'utf8')).toBe(program)
  })

  test('removes the old draft of a killed job and keeps a recent one', async () => {
    const [old, fresh] = ['.draft-old', '.draft-new'].map((name) => join(cache, 'istioctl', name)) as [string, string]
    for (const draft of [old, fresh]) mkdirSync(draft, { recursive: true })
    utimesSync(old, 0, 0)
    const { address } = await mirror(archive())
    await obtain(address)
    expect(readdirSync(join(cache, 'istioctl')).sort()).toEqual(['.draft-new', version])
  })
})
