// A lock between processes that share a file system, such as the jobs on one runner.
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises'
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
  while (!(await isAcquired(path))) {
    await removeIfStale(path)
    await systemClock.sleep(pollMs, signal)
  }
  const renewal = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => undefined), renewMs)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await rm(path, { recursive: true, force: true })
  }
}

async function isAcquired(path: string): Promise<boolean> {
  try {
    await mkdir(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function removeIfStale(path: string): Promise<void> {
  const age = await stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  )
  if (age <= staleMs) return
  // If several processes find the lock stale, only one of them can rename it.
  const removed = `${path}.stale-${process.pid}`
  await rename(path, removed).then(
    () => rm(removed, { recursive: true, force: true }),
    () => undefined,
  )
}
