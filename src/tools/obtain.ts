// A tool of one exact version: from the tool cache, from the cache between runs, or from a release; verified before it is unpacked.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { takeBinary } from './archive.ts'
import { cacheBetweenRuns, type Cache } from './cache.ts'
import { download, type Progress } from './download.ts'
import { ask, bare, inTime, patiently, reasonOf, StatusError, text } from './http.ts'
import { hashOf, keep, kept } from './tool-cache.ts'

/** A program as its project publishes it, for platforms and architectures as Node.js names them. */
export type Tool = {
  /** Of its folder in the tool cache. */
  name: string
  /** The section of the config that its errors name: `istio` for `istio.version`, `istio.mirror`, `istio.sha256`. */
  key: string
  /** File of a release: a `.tar.gz` or `.zip` that holds the binary alone, or the binary itself. @throws ConfigError where there is none. */
  assetOf(version: string, platform: NodeJS.Platform, arch: string): string
  addressOf(mirror: string, version: string, asset: string): string
  /** The file beside the asset that holds its sha256. */
  sumsOf(asset: string): string
  binary(platform: NodeJS.Platform): string
}

export type Options = {
  /** Address in the layout that the tool's `addressOf` knows. */
  mirror: string
  /** Of the asset, in hex; without it what the release says. */
  sha256?: string
  limitMs: number
  /** Whether the cache between runs is asked and filled, where the runner has one. */
  cache: boolean
  signal: AbortSignal
  /** Told what becomes of the cache between runs, if that is not as hoped. */
  tell: { info: (line: string) => void; warning: (line: string) => void }
  /** Before the first of a few new tries; doubled for each further one. */
  backOffMs?: number
}

export type Obtained = {
  path: string
  folder: string
  version: string
  cacheHit: boolean
  from: 'tool cache' | 'cache' | 'download'
}

/** Where it came from, in words. */
export const whence: Record<Obtained['from'], string> = {
  'tool cache': 'from the tool cache',
  cache: 'from the cache between runs, verified',
  download: 'downloaded and verified',
}

/** @throws ConfigError when the mirror lacks the version, does not deliver in time, or what it serves is not what it should be. */
export async function obtain(tool: Tool, version: string, options: Options): Promise<Obtained> {
  const asset = tool.assetOf(version, process.platform, process.arch)
  const there = await kept(tool, version, options.sha256)
  if (there) return { ...there, version, cacheHit: true, from: 'tool cache' }
  const progress: Progress = { have: 0 }
  return inTime(
    options.signal,
    options.limitMs,
    () => late(tool, options, progress),
    (signal) => fetched(tool, version, asset, { ...options, signal }, progress),
  )
}

function late({ key }: Tool, { mirror, limitMs }: Options, { have, total }: Progress): ConfigError {
  const had = `${(have / 1e6).toFixed(1)}${total === undefined ? '' : ` of ${(total / 1e6).toFixed(1)}`} MB`
  return new ConfigError(
    `${key}.mirror: ${bare(mirror)} has not delivered within ${limitMs / 1000} s (\`limits.download\`), but ${had}; check the network of the runner, or give a nearer mirror`,
  )
}

async function fetched(
  tool: Tool,
  version: string,
  asset: string,
  options: Options,
  progress: Progress,
): Promise<Obtained> {
  const address = tool.addressOf(options.mirror, version, asset)
  const sum = options.sha256 ?? (await publishedSum(tool, version, address, options))
  // Not all of the time: if it does not work, a download must still be possible.
  const cache = options.cache
    ? await cacheBetweenRuns(Math.min(options.limitMs / 2, 60_000), options.tell.info)
    : undefined
  const key = ['mesh-canary', tool.name, version, process.platform, process.arch, sum].join('-')
  const folder = await mkdtemp(join(process.env['RUNNER_TEMP'] || tmpdir(), 'mesh-canary-download-'))
  const archive = join(folder, 'asset')
  try {
    const restored = cache !== undefined && (await isRestored(cache, key, archive, sum, options))
    if (!restored) {
      await request(tool, version, address, options, () =>
        download(address, `${tool.key}.mirror`, archive, options.signal, options.backOffMs ?? 1000, progress),
      )
      await verify(tool, address, archive, sum, options)
    }
    const there = await keep(tool, version, sum, (path) =>
      takeBinary(archive, asset, tool.binary(process.platform), path, tool.key),
    )
    if (!restored) await cache?.save(key, archive)
    return { ...there, version, cacheHit: restored, from: restored ? 'cache' : 'download' }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Whoever may write to the cache could have put anything there: it is held to the sum that the release has, not to one from the cache. */
async function isRestored(
  cache: Cache,
  key: string,
  archive: string,
  sum: string,
  { signal, tell }: Options,
): Promise<boolean> {
  if (!(await cache.restore(key, archive))) return false
  signal.throwIfAborted()
  const found = await hashOf(archive)
  if (found === sum) return true
  tell.warning(
    `cache: the entry ${key} of the cache between runs holds a file with the sha256 ${found}, and is not used; find out who put it there, and delete it (gh cache delete ${key})`,
  )
  await rm(archive)
  return false
}

async function publishedSum(tool: Tool, version: string, address: string, options: Options): Promise<string> {
  const file = tool.sumsOf(address)
  const { signal, backOffMs = 1000 } = options
  const said = await request(tool, version, file, options, () =>
    patiently(async () => text(await ask(file, `${tool.key}.mirror`, {}, signal)), signal, backOffMs),
  )
  const [sum = ''] = said.trim().split(/\s+/)
  if (/^[0-9a-f]{64}$/i.test(sum)) return sum.toLowerCase()
  const holds = said.trim() === '' ? 'nothing' : JSON.stringify(said.trim().slice(0, 60))
  throw new ConfigError(
    `${tool.key}.mirror: ${bare(file)} holds no sha256 but ${holds}, so nothing can be verified and nothing was downloaded; give the checksum as \`${tool.key}.sha256\`, or another mirror`,
  )
}

async function verify(
  { key }: Tool,
  address: string,
  archive: string,
  sum: string,
  { sha256 }: Options,
): Promise<void> {
  const found = await hashOf(archive)
  if (found === sum) return
  const says = sha256 === undefined ? 'its checksum file says' : `\`${key}.sha256\` says`
  throw new ConfigError(
    `${key}.mirror: the checksum of ${bare(address)} does not match: ${says} ${sum}, the file has ${found}; nothing was unpacked. Try again, and if it stays so, do not trust this mirror`,
  )
}

/** Errors of the network as those of the key that can change something about them. */
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
    const shown = bare(address)
    if (error instanceof StatusError && error.status === 404)
      throw new ConfigError(
        `${key}.version: ${version} is not to be had: ${shown} answers 404; check the version against the list of ${name}'s releases, or the mirror's address`,
      )
    throw new ConfigError(
      `${key}.mirror: ${shown} cannot be downloaded (${reasonOf(error)}); check the address and the network of the runner`,
    )
  }
}
