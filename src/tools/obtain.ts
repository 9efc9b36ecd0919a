// Obtains a tool of an exact version from the tool cache, the cache between runs, or a release, and verifies it before
// it is unpacked.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { withDeadline } from '../runtime/timeout.ts'
import { takeBinary } from './archive.ts'
import { cacheBetweenRuns, type Cache } from './cache.ts'
import { download, type Progress } from './download.ts'
import { bodyText, get, reasonOf, retryRequest, StatusError, withoutCredentials } from './http.ts'
import { findTool, installTool, sha256Of } from './tool-cache.ts'
import type { Tool } from './tool.ts'

export type Options = {
  /** Base address; `addressOf` of the tool defines the layout below it. */
  mirror: string
  /** The asset's checksum, in hex. Without it, the release's own checksum file is used. */
  sha256?: string
  limitMs: number
  /** Whether to use the cache between runs, if the runner has one. */
  cache: boolean
  signal: AbortSignal
  /** Gets lines about problems of the cache between runs. */
  log: { info: (line: string) => void; warning: (line: string) => void }
  /** The delay before the first retry; it doubles with each further one. */
  backOffMs?: number
}

export type Obtained = {
  path: string
  folder: string
  version: string
  cacheHit: boolean
  from: 'tool cache' | 'cache' | 'download'
}

/** Where a tool comes from, in words. */
export const sourceLabel: Record<Obtained['from'], string> = {
  'tool cache': 'from the tool cache',
  cache: 'from the cache between runs, verified',
  download: 'downloaded and verified',
}

/**
 * @throws ConfigError if the mirror lacks the version, takes too long, or serves a file that does not match its
 * checksum.
 */
export async function obtain(tool: Tool, version: string, options: Options): Promise<Obtained> {
  const asset = tool.assetOf(version, process.platform, process.arch)
  const cached = await findTool(tool, version, options.sha256)
  if (cached) return { ...cached, version, cacheHit: true, from: 'tool cache' }
  const progress: Progress = { received: 0 }
  const signal = withDeadline(options.signal, options.limitMs, () => timeoutError(tool, options, progress))
  return fetchTool(tool, version, asset, { ...options, signal }, progress)
}

function timeoutError({ key }: Tool, { mirror, limitMs }: Options, { received, total }: Progress): ConfigError {
  const size = `${(received / 1e6).toFixed(1)}${total === undefined ? '' : ` of ${(total / 1e6).toFixed(1)}`} MB`
  return new ConfigError(
    `${key}.mirror: the download from ${withoutCredentials(mirror)} timed out after ${limitMs / 1000} s ` +
      `(\`limits.download\`; ${size} received); check the network of the runner, or give a nearer mirror`,
  )
}

async function fetchTool(
  tool: Tool,
  version: string,
  asset: string,
  options: Options,
  progress: Progress,
): Promise<Obtained> {
  const address = tool.addressOf(options.mirror, version, asset)
  const sum = options.sha256 ?? (await publishedSum(tool, version, address, options))
  // The cache gets at most half of the time, so that there is time for a download if it does not answer.
  const cache = options.cache
    ? await cacheBetweenRuns(Math.min(options.limitMs / 2, 60_000), options.log.info)
    : undefined
  const key = ['mesh-canary', tool.name, version, process.platform, process.arch, sum].join('-')
  const folder = await mkdtemp(join(process.env['RUNNER_TEMP'] || tmpdir(), 'mesh-canary-download-'))
  const archive = join(folder, 'asset')
  try {
    const isRestored = cache !== undefined && (await restore(cache, key, archive, sum, options))
    if (!isRestored) {
      await request(tool, version, address, options, () =>
        download(address, `${tool.key}.mirror`, archive, options.signal, options.backOffMs ?? 1000, progress),
      )
      await verify(tool, address, archive, sum, options)
    }
    const installed = await installTool(tool, version, sum, options.signal, (path) =>
      takeBinary(archive, asset, tool.binary(process.platform), path, tool.key),
    )
    if (!isRestored) await cache?.save(key, archive)
    return { ...installed, version, cacheHit: isRestored, from: isRestored ? 'cache' : 'download' }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Copies the asset from the cache between runs. Anyone who may write to the cache can replace it, so it must match the
 * release's checksum, not a checksum from the cache.
 */
async function restore(
  cache: Cache,
  key: string,
  archive: string,
  sum: string,
  { signal, log }: Options,
): Promise<boolean> {
  if (!(await cache.restore(key, archive))) return false
  signal.throwIfAborted()
  const found = await sha256Of(archive)
  if (found === sum) return true
  log.warning(
    `cache: ignoring the entry ${key} of the cache between runs: its file has the sha256 ${found}, ` +
      `expected ${sum}; find out who put it there, and delete it (gh cache delete ${key})`,
  )
  await rm(archive)
  return false
}

async function publishedSum(tool: Tool, version: string, address: string, options: Options): Promise<string> {
  const file = tool.sumsOf(address)
  const { signal, backOffMs = 1000 } = options
  const content = await request(tool, version, file, options, () =>
    retryRequest(async () => bodyText(await get(file, `${tool.key}.mirror`, {}, signal)), signal, backOffMs),
  )
  const [sum = ''] = content.trim().split(/\s+/)
  if (/^[0-9a-f]{64}$/i.test(sum)) return sum.toLowerCase()
  const found = content.trim() === '' ? 'nothing' : JSON.stringify(content.trim().slice(0, 60))
  throw new ConfigError(
    `${tool.key}.mirror: ${withoutCredentials(file)} holds ${found}, expected a sha256; ` +
      'without one the release cannot be verified, and it was not downloaded. ' +
      `Give the checksum as \`${tool.key}.sha256\`, or another mirror`,
  )
}

async function verify(
  { key }: Tool,
  address: string,
  archive: string,
  sum: string,
  { sha256 }: Options,
): Promise<void> {
  const found = await sha256Of(archive)
  if (found === sum) return
  const source = sha256 === undefined ? 'its checksum file says' : `\`${key}.sha256\` says`
  throw new ConfigError(
    `${key}.mirror: the checksum of ${withoutCredentials(address)} does not match: ${source} ${sum}, ` +
      `the file has ${found}; nothing was unpacked. Try again. If the error stays, do not trust this mirror`,
  )
}

/** Turns a network error into a ConfigError that names the key to change. */
async function request<T>(
  { name, key }: Tool,
  version: string,
  address: string,
  { signal }: Options,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof ConfigError) throw error
    const shown = withoutCredentials(address)
    if (error instanceof StatusError && error.status === 404)
      throw new ConfigError(
        `${key}.version: ${version} not found: ${shown} answers 404; ` +
          `check the version against the list of ${name}'s releases, or the mirror's address`,
      )
    throw new ConfigError(
      `${key}.mirror: cannot download ${shown} (${reasonOf(error)}); check the address and the network of the runner`,
    )
  }
}
