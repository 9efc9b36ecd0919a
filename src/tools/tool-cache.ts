// The runner's tool cache, shared by all its jobs, some of them at once. The layout and the `.complete` marker are those of @actions/tool-cache,
// so that each finds what the other has put there. Its own functions do not serve: `cacheDir` deletes the folder before it copies into it, under
// the feet of whoever runs the tool, and `find` tells each look on standard output, where the command line's JSON goes.
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { valid } from 'semver'
import type { Tool } from './obtain.ts'

/** What is written beside a binary: its own sha256, and that of the asset that it came in. */
type Sums = { binary: string; asset: string }
export type Kept = { folder: string; path: string }

const recordName = (binary: string) => `.${binary}.json`

/** Where a runner has none, as on a laptop, it is this user's. */
function root(): string {
  return (process.env['RUNNER_TOOL_CACHE'] ||= join(
    process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
    'mesh-canary',
    'tools',
  ))
}

/** The folder of a version, whether it is there or not. */
function folderOf({ name }: Tool, version: string): string {
  return join(root(), name, version, process.arch)
}

/** The versions that are there, whole or not. */
export function versionsKept(tool: Tool): string[] {
  const all = join(root(), tool.name)
  return existsSync(all)
    ? readdirSync(all).filter((version) => valid(version) !== null && existsSync(`${folderOf(tool, version)}.complete`))
    : []
}

/**
 * The binary, if it is there as it was put: hashed again, since a disk, a job that was killed, or somebody may have changed it.
 * One that others put there, without a record, is taken as the marker says, unless it has to be that of a given sum.
 */
export async function kept(tool: Tool, version: string, sha256?: string): Promise<Kept | undefined> {
  const folder = folderOf(tool, version)
  return existsSync(`${folder}.complete`) && (await isWhole(folder, tool.binary(process.platform), sha256))
    ? { folder, path: join(folder, tool.binary(process.platform)) }
    : undefined
}

async function isWhole(folder: string, binary: string, sha256: string | undefined): Promise<boolean> {
  try {
    const record = await readFile(join(folder, recordName(binary)), 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    })
    if (record === undefined) return sha256 === undefined && (await stat(join(folder, binary))).size > 0
    const sums = JSON.parse(record) as Sums
    return sums.binary === (await hashOf(join(folder, binary))) && (sha256 === undefined || sums.asset === sha256)
  } catch {
    return false
  }
}

/**
 * `make` writes the binary to the path that it is given, on the file system of the tool cache; then it takes its place in one move. So at any
 * time there is a whole binary at its path or none, and of two that put the same there at once it does not matter who is last.
 */
export async function keep(
  tool: Tool,
  version: string,
  asset: string,
  make: (path: string) => Promise<void>,
): Promise<Kept> {
  const binary = tool.binary(process.platform)
  const folder = folderOf(tool, version)
  await mkdir(folder, { recursive: true })
  await removeLeft(join(root(), tool.name))
  const draft = await mkdtemp(join(root(), tool.name, '.draft-'))
  try {
    await make(join(draft, binary))
    const sums: Sums = { binary: await hashOf(join(draft, binary)), asset }
    await writeFile(join(draft, recordName(binary)), JSON.stringify(sums))
    await writeFile(join(draft, 'complete'), '')
    const first = await kept(tool, version, asset)
    if (first) return first
    for (const name of [binary, recordName(binary)]) await rename(join(draft, name), join(folder, name))
    await rename(join(draft, 'complete'), `${folder}.complete`)
    return { folder, path: join(folder, binary) }
  } catch (error) {
    // Windows replaces no program that runs: then somebody was faster, and is using it.
    const other = (error as NodeJS.ErrnoException).syscall === 'rename' ? await kept(tool, version, asset) : undefined
    if (other) return other
    throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

const dayMs = 86_400_000

/** Of jobs that were killed in the middle, long ago. */
async function removeLeft(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const draft = join(folder, name)
    const isOld = async () => Date.now() - (await stat(draft)).mtimeMs > dayMs
    if (name.startsWith('.draft-') && (await isOld().catch(() => false)))
      await rm(draft, { recursive: true, force: true })
  }
}

export async function hashOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
