// The cache between runs, where the runner has one: files under keys. It saves a download and is never needed; what comes out of it is not trusted.
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../runtime/errors.ts'

export type Cache = {
  /** Whether there was something, which is now the file. */
  restore(key: string, file: string): Promise<boolean>
  save(key: string, file: string): Promise<void>
}

/** Undefined without the service: on a laptop, on most servers of one's own. `info` is told in one line when it does not work. */
export async function cacheBetweenRuns(limitMs: number, info: (line: string) => void): Promise<Cache | undefined> {
  // Before the library is loaded, which is much.
  if (!process.env['ACTIONS_CACHE_URL'] && !process.env['ACTIONS_RESULTS_URL']) return undefined
  const { isFeatureAvailable, restoreCache, saveCache } = await import('@actions/cache')
  if (!isFeatureAvailable()) return undefined
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    const { result, complaint } = await quietly(() => inTime(work(), limitMs))
    if (complaint !== undefined) info(`the cache between runs ${what}, and is done without: ${complaint}`)
    return result
  }
  return {
    restore: async (key, file) => {
      const place = placeOf(key)
      await mkdir(dirname(place), { recursive: true })
      const found = await attempt('could not be read', () => restoreCache([place], key))
      if (found === undefined) return false
      await rename(place, file)
      return true
    },
    save: async (key, file) => {
      const place = placeOf(key)
      await mkdir(dirname(place), { recursive: true })
      await copyFile(file, place)
      await attempt('could not be filled', () => saveCache([place], key)).finally(() => rm(place))
    },
  }
}

/** Where a file lies is part of what it is found by: it must be the same in every run. */
function placeOf(key: string): string {
  return join(process.env['RUNNER_TEMP'] || tmpdir(), 'mesh-canary-cache', key)
}

async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T> {
  const done = new AbortController()
  const late = sleep(limitMs, undefined, { signal: done.signal }).then(() =>
    Promise.reject(new Error(`it has not answered within ${limitMs / 1000} s`)),
  )
  return Promise.race([work, late]).finally(() => done.abort())
}

/** The library makes annotations of what goes wrong, errors among them, and tells its progress: of that only the first complaint is kept. */
async function quietly<T>(work: () => Promise<T>): Promise<{ result?: T; complaint?: string }> {
  const write = process.stdout.write.bind(process.stdout)
  let said = ''
  const listen = (chunk: string | Uint8Array) => {
    said += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    return true
  }
  process.stdout.write = listen
  try {
    const result = await work()
    const complaint = /^(?:::(?:warning|error)[^:]*::)?(Failed to .*)$/m.exec(said)?.[1]
    return { result, ...(complaint === undefined ? {} : { complaint }) }
  } catch (error) {
    return { complaint: messageOf(error) }
  } finally {
    process.stdout.write = write
    for (const line of said.split('\n')) if (line.startsWith('::debug::')) write(`${line}\n`)
  }
}
