// The cache between runs, if the runner has one: files under keys. It only saves a download, so nothing trusts its
// content.
import { copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { messageOf } from '../runtime/errors.ts'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'

export type Cache = {
  /** Copies the entry to `file`; false if there is none. */
  restore(key: string, file: string): Promise<boolean>
  save(key: string, file: string): Promise<void>
}

/**
 * Undefined without a cache service, as on a laptop and on most self-hosted servers. `info` gets one line if the
 * service fails.
 */
export async function cacheBetweenRuns(limitMs: number, info: (line: string) => void): Promise<Cache | undefined> {
  // Checked before loading the library, which is large.
  if (!process.env['ACTIONS_CACHE_URL'] && !process.env['ACTIONS_RESULTS_URL']) return undefined
  const { isFeatureAvailable, restoreCache, saveCache } = await import('@actions/cache')
  if (!isFeatureAvailable()) return undefined
  const tryCache = async <T>(verb: string, work: () => Promise<T>): Promise<T | undefined> => {
    const limited = () => unlessAborted(work(), withTimeout(undefined, limitMs, 'the cache service'))
    const { result, complaint } = await withCapturedOutput(limited)
    if (complaint !== undefined) info(`cannot ${verb} the cache between runs, continuing without it: ${complaint}`)
    return result
  }
  return {
    restore: async (key, file) => {
      const path = pathOf(key)
      await mkdir(dirname(path), { recursive: true })
      const found = await tryCache('read', () => restoreCache([path], key))
      if (found === undefined) return false
      await rename(path, file)
      return true
    },
    save: async (key, file) => {
      const path = pathOf(key)
      await mkdir(dirname(path), { recursive: true })
      await copyFile(file, path)
      await tryCache('write to', () => saveCache([path], key)).finally(() => rm(path))
    },
  }
}

/** The service finds an entry by its key and path, so the path must be the same in every run. */
function pathOf(key: string): string {
  return join(process.env['RUNNER_TEMP'] || tmpdir(), 'mesh-canary-cache', key)
}

/**
 * Captures what the library prints: its progress, and annotations for failures that do not matter here. Returns only
 * its first complaint.
 */
async function withCapturedOutput<T>(work: () => Promise<T>): Promise<{ result?: T; complaint?: string }> {
  const write = process.stdout.write.bind(process.stdout)
  let output = ''
  const capture = (chunk: string | Uint8Array) => {
    output += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    return true
  }
  process.stdout.write = capture
  try {
    const result = await work()
    const complaint = /^(?:::(?:warning|error)[^:]*::)?(Failed to .*)$/m.exec(output)?.[1]
    return { result, ...(complaint === undefined ? {} : { complaint }) }
  } catch (error) {
    return { complaint: messageOf(error) }
  } finally {
    process.stdout.write = write
    for (const line of output.split('\n')) if (line.startsWith('::debug::')) write(`${line}\n`)
  }
}
