// The istioctl binary of one exact version: from the tool cache, or from a release, verified before it is unpacked.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import * as toolCache from '@actions/tool-cache'
import { ConfigError } from '../config/error.ts'
import { assetOf, binaryName } from './release.ts'

export type Istioctl = { path: string; folder: string; version: string; cacheHit: boolean }

/** @throws ConfigError when the mirror lacks the version, or what it serves does not match its checksum. */
export async function obtain(version: string, mirror: string, limitMs = 300_000): Promise<Istioctl> {
  const arch = process.arch
  const cached = toolCache.find('istioctl', version, arch)
  const folder = cached || (await inTime(install(version, mirror, arch), mirror, limitMs))
  return { path: join(folder, binaryName(process.platform)), folder, version, cacheHit: cached !== '' }
}

async function install(version: string, mirror: string, arch: string): Promise<string> {
  const asset = assetOf(version, process.platform, arch)
  const address = `${mirror}/${version}/${asset}`
  const [archive, sums] = await Promise.all([fetch(address, version), fetch(`${address}.sha256`, version)])
  const wanted = (await readFile(sums, 'utf8')).trim().split(/\s+/)[0]?.toLowerCase() ?? ''
  const found = await sha256(archive)
  if (found !== wanted)
    throw new ConfigError(`istio.mirror: the checksum of ${address} does not match: its .sha256 says ${wanted || 'nothing'}, the file has ${found}; nothing was unpacked. Try again, and if it stays so, do not trust this mirror`)
  const unpacked = asset.endsWith('.zip') ? await toolCache.extractZip(archive) : await toolCache.extractTar(archive)
  return toolCache.cacheDir(unpacked, 'istioctl', version, arch)
}

async function fetch(address: string, version: string): Promise<string> {
  try {
    return await toolCache.downloadTool(address)
  } catch (error) {
    const status = error instanceof toolCache.HTTPError ? error.httpStatusCode : undefined
    if (status === 404)
      throw new ConfigError(`istio.version: ${version} is not to be had: ${address} answers 404; check the version against the list of Istio's releases, or the mirror's address`)
    throw new ConfigError(`istio.mirror: ${address} cannot be downloaded (${status === undefined ? reason(error) : `HTTP ${status}`}); check the address and the network of the runner`)
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error)
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

/** What goes on after that is left to the end of the program. */
async function inTime<T>(work: Promise<T>, mirror: string, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new ConfigError(`istio.mirror: ${mirror} has not delivered within ${limitMs / 1000} s (\`limits.download\`); check the network of the runner, or give a nearer mirror`)), limitMs)))
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
