// Removes old versions of a tool from the tool cache, which nobody else does on a self-hosted runner or a laptop.
import { existsSync, statSync, utimesSync } from 'node:fs'
import { readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'

/** The version that was installed last, and those that jobs on this machine used last. */
const keptVersions = 5

/** Notes that the version is in use. `record`: the file that only our own versions have. */
export function markUsed(record: string): void {
  try {
    utimesSync(record, new Date(), new Date())
  } catch {
    // Another tool stored this version, or the folder may not be written.
  }
}

/**
 * Keeps the versions that were used last, and those that other tools have stored. `folder`: that of the tool, with
 * `VERSION/ARCH/RECORD` for each version. Never rejects.
 */
export async function pruneVersions(folder: string, arch: string, record: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  const own = names.filter((version) => existsSync(join(folder, version, arch, record)))
  const usedAt = (version: string) => statSync(join(folder, version, arch, record)).mtimeMs
  const oldestLast = own.toSorted((a, b) => usedAt(b) - usedAt(a))
  for (const version of oldestLast.slice(keptVersions))
    await removeVersion(join(folder, version), arch).catch(() => undefined)
}

/** The library's marker goes first, so that no job finds a version that is half removed. */
async function removeVersion(folder: string, arch: string): Promise<void> {
  await rm(join(folder, `${arch}.complete`), { force: true })
  await rm(join(folder, arch), { recursive: true, force: true })
  await rmdir(folder)
}
