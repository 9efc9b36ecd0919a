// The runner's tool cache, which all jobs of a runner share, some of them at the same time. @actions/tool-cache finds
// and stores the tools. This file adds a lock, because the library deletes a folder before it fills it, and a checksum
// for each binary, because the library's marker does not prove that a file is complete.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { cacheDir, find, findAllVersions } from '@actions/tool-cache'
import type { Tool } from './tool.ts'
import { withLock } from './lock.ts'
import { markUsed, pruneVersions } from './prune-versions.ts'

/** Stored next to a binary: its own sha256, and that of the release asset that contained it. */
type Checksums = { binary: string; asset: string }
export type CachedTool = { folder: string; path: string }

const checksumFile = (binary: string) => `.${binary}.json`

/**
 * Sets the variable that the library reads. Without a runner, as on a laptop, the tool cache is a folder of the user's.
 */
function root(): string {
  return (process.env['RUNNER_TOOL_CACHE'] ||= join(
    process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
    'mesh-canary',
    'tools',
  ))
}

/** The versions in the tool cache, without checking the binaries. */
export function cachedVersions({ name }: Tool): string[] {
  root()
  return findAllVersions(name, process.arch)
}

/**
 * Finds the tool in the tool cache if its checksum is right: a faulty disk, a killed job or another process may have
 * changed it. Another action stores its tools without our checksum. Such a tool counts if the library's marker is
 * there, unless the asset must have a given `sha256`.
 */
export async function findTool(tool: Tool, version: string, sha256?: string): Promise<CachedTool | undefined> {
  root()
  const folder = find(tool.name, version, process.arch)
  const binary = tool.binary(process.platform)
  if (folder === '' || !(await isIntact(folder, binary, sha256))) return undefined
  markUsed(join(folder, checksumFile(binary)))
  return { folder, path: join(folder, binary) }
}

async function isIntact(folder: string, binary: string, sha256: string | undefined): Promise<boolean> {
  try {
    const record = await readFile(join(folder, checksumFile(binary)), 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    })
    if (record === undefined) return sha256 === undefined && (await stat(join(folder, binary))).size > 0
    const expected = JSON.parse(record) as Checksums
    const isMatch = expected.binary === (await sha256Of(join(folder, binary)))
    return isMatch && (sha256 === undefined || expected.asset === sha256)
  } catch {
    return false
  }
}

/** Calls `make` to write the binary to a path, and installs it. If another job is faster, returns that job's binary. */
export async function installTool(
  tool: Tool,
  version: string,
  asset: string,
  signal: AbortSignal,
  make: (path: string) => Promise<void>,
): Promise<CachedTool> {
  const binary = tool.binary(process.platform)
  const parent = join(root(), tool.name)
  await mkdir(parent, { recursive: true })
  await removeOldDrafts(parent)
  const draft = await mkdtemp(join(parent, '.draft-'))
  try {
    await make(join(draft, binary))
    const checksums: Checksums = { binary: await sha256Of(join(draft, binary)), asset }
    await writeFile(join(draft, checksumFile(binary)), JSON.stringify(checksums))
    const installed = await withLock(join(parent, `.lock-${version}-${process.arch}`), signal, async () => {
      if (!(await findTool(tool, version, asset))) await store(draft, [binary, checksumFile(binary)], tool, version)
      const stored = await findTool(tool, version, asset)
      if (stored) return stored
      throw new Error(`${binary} in the tool cache ${parent} differs from what was written there; check the disk`)
    })
    await pruneVersions(parent, process.arch, checksumFile(binary))
    return installed
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function store(draft: string, files: string[], { name }: Tool, version: string): Promise<void> {
  const folder = find(name, version, process.arch)
  // No job uses a folder without the library's marker, and the library writes the marker last.
  if (folder === '') return void (await cacheDir(draft, name, version, process.arch))
  // Another job may be running the binary, so each file is replaced in one step.
  for (const file of files) await rename(join(draft, file), join(folder, file))
}

const dayMs = 86_400_000

/** Removes the drafts that killed jobs left. */
async function removeOldDrafts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const draft = join(folder, name)
    const isOld = async () => Date.now() - (await stat(draft)).mtimeMs > dayMs
    if (name.startsWith('.draft-') && (await isOld().catch(() => false)))
      await rm(draft, { recursive: true, force: true })
  }
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
