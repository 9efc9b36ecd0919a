// A lock between processes that share a file system, such as the jobs on one runner.
import { randomUUID } from 'node:crypto'
import { access, mkdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../runtime/clock.ts'

const pollMs = 50
/** The holder renews its lock. An older lock belongs to a process that was killed. */
const staleMs = 15_000
const renewMs = 3_000

/**
 * `path`: a folder that only one process at a time can create. @throws the signal's reason if it aborts before the lock
 * is free.
 */
export async function withLock<T>(path: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  while (!(await isCreated(path))) {
    if (await isStale(path)) await removeStale(path)
    await systemClock.sleep(pollMs, signal)
  }
  // Names the holder: one that was suspended and lost its lock must not remove the next holder's.
  const owner = join(path, randomUUID())
  await writeFile(owner, '')
  const renewal = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), renewMs)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    if (await exists(owner)) await rm(path, { recursive: true, force: true })
  }
}

async function isCreated(path: string): Promise<boolean> {
  try {
    await mkdir(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function isStale(path: string): Promise<boolean> {
  const age = await stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  )
  return age > staleMs
}

/**
 * Only one process at a time removes a stale lock, and looks again before it does: between its first look and the removal
 * another process may have removed the stale lock and created its own.
 */
async function removeStale(path: string): Promise<void> {
  const removal = `${path}.removal`
  if (!(await isCreated(removal))) {
    if (await isStale(removal)) await rm(removal, { recursive: true, force: true })
    return
  }
  try {
    if (await isStale(path)) await rm(path, { recursive: true, force: true })
  } finally {
    await rm(removal, { recursive: true, force: true })
  }
}
