import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { istioctlTool } from '../../../src/istioctl/release.ts'
import { withLock } from '../../../src/tools/lock.ts'
import { findTool } from '../../../src/tools/tool-cache.ts'
import { tempFolder } from '../fixtures.ts'

const exec = promisify(execFile)
const version = '1.31.0'
const never = new AbortController().signal
let cache: string

beforeEach(() => {
  cache = tempFolder()
  vi.stubEnv('RUNNER_TOOL_CACHE', cache)
})
afterEach(() => void vi.unstubAllEnvs())

/** A separate job: installs a tool of 20 MB, starts it, and returns its output. */
const job = `
import { execFileSync } from 'node:child_process'
import { writeFile, chmod } from 'node:fs/promises'
import { istioctlTool } from '${import.meta.dirname}/../../../src/istioctl/release.ts'
import { installTool } from '${import.meta.dirname}/../../../src/tools/tool-cache.ts'
const { path } = await installTool(istioctlTool, '${version}', 'a'.repeat(64), new AbortController().signal, async (path) => {
  await writeFile(path, '#!/bin/sh\\necho whole\\nexit\\n' + '#'.repeat(20_000_000))
  await chmod(path, 0o755)
})
console.log(execFileSync(path).toString().trim())
`

async function installAndRun(): Promise<string> {
  const { stdout } = await exec(process.execPath, ['--input-type=module-typescript', '-e', job], { env: process.env })
  return stdout.trim().split('\n').at(-1)!
}

test('jobs that install the same tool at the same time each get a complete binary', async () => {
  expect(await Promise.all(Array.from({ length: 4 }, installAndRun))).toEqual(Array(4).fill('whole'))
  // No lock and no draft remains.
  expect(readdirSync(join(cache, 'istioctl'))).toEqual([version])
})

test('a job replaces a changed entry while other jobs find or replace it', async () => {
  await installAndRun()
  writeFileSync(join(cache, 'istioctl', version, process.arch, 'istioctl'), '#!/bin/sh\necho changed\n')
  expect(await Promise.all(Array.from({ length: 3 }, installAndRun))).toEqual(Array(3).fill('whole'))
})

describe('a lock', () => {
  const path = () => join(cache, '.lock')

  test('admits one holder at a time', async () => {
    let inside = 0
    const most: number[] = []
    const work = async () => {
      most.push(++inside)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside--
    }
    await Promise.all(Array.from({ length: 5 }, () => withLock(path(), never, work)))
    expect(most).toEqual(Array(5).fill(1))
    expect(existsSync(path())).toBe(false)
  })

  test('is released after work that failed', async () => {
    await expect(withLock(path(), never, () => Promise.reject(new Error('the disk is full')))).rejects.toThrow('full')
    expect(await withLock(path(), never, () => Promise.resolve('free'))).toBe('free')
  })

  test('is taken over when a killed job left it', async () => {
    mkdirSync(path())
    utimesSync(path(), 0, 0)
    expect(await withLock(path(), never, () => Promise.resolve('taken over'))).toBe('taken over')
  })

  test('of another job makes a job wait until its run is cancelled', async () => {
    mkdirSync(path())
    const cancel = new AbortController()
    const waiting = withLock(path(), cancel.signal, () => Promise.resolve())
    setTimeout(() => cancel.abort(new Error('the run was cancelled')), 20)
    await expect(waiting).rejects.toThrow('the run was cancelled')
    expect(existsSync(path())).toBe(true)
  })
})

test('the tool cache stores the checksum of a binary beside it', async () => {
  await installAndRun()
  const record = readFileSync(join(cache, 'istioctl', version, process.arch, '.istioctl.json'), 'utf8')
  expect(JSON.parse(record)).toEqual({
    binary: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    asset: 'a'.repeat(64),
  })
})

describe('the tool cache after an installation', () => {
  const installed = () => readdirSync(join(cache, 'istioctl')).filter((name) => !name.startsWith('.'))
  /** An entry of an earlier job, used so many days ago. `record`: false for an entry of another action. */
  function entry(name: string, daysAgo: number, record = true): void {
    const folder = join(cache, 'istioctl', name, process.arch)
    mkdirSync(folder, { recursive: true })
    writeFileSync(`${folder}.complete`, '')
    writeFileSync(join(folder, 'istioctl'), 'x')
    if (!record) return
    const file = join(folder, '.istioctl.json')
    writeFileSync(file, JSON.stringify({ binary: createHash('sha256').update('x').digest('hex'), asset: 'a' }))
    utimesSync(file, Date.now() / 1000 - daysAgo * 86_400, Date.now() / 1000 - daysAgo * 86_400)
  }

  test('keeps five versions: the one that it installed, and those that were used last', async () => {
    for (const [i, name] of ['1.25.0', '1.26.0', '1.27.0', '1.28.0', '1.29.0', '1.30.0'].entries()) entry(name, 10 - i)
    await findTool(istioctlTool, '1.25.0')
    await installAndRun()
    expect(installed().sort()).toEqual(['1.25.0', '1.28.0', '1.29.0', '1.30.0', version])
    expect(existsSync(join(cache, 'istioctl', '1.26.0'))).toBe(false)
  })

  test('keeps what other actions have stored', async () => {
    for (const minor of [20, 21, 22, 23, 24, 25]) entry(`1.${minor}.0`, 400, false)
    await installAndRun()
    expect(installed()).toHaveLength(7)
  })
})
