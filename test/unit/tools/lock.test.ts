import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { withLock } from '../../../src/tools/lock.ts'
import { tempFolder } from '../fixtures.ts'

const signal = new AbortController().signal
const lock = resolve(import.meta.dirname, '../../../src/tools/lock.ts')

/** A lock whose holder was killed a minute ago. */
function staleLock(): string {
  const path = join(tempFolder(), 'lock')
  mkdirSync(path)
  const minuteAgo = new Date(Date.now() - 60_000)
  utimesSync(path, minuteAgo, minuteAgo)
  return path
}

/** Enters the lock; fails if another process is inside. */
const enter = `
  import { mkdirSync, rmdirSync } from 'node:fs'
  import { setTimeout } from 'node:timers/promises'
  import { withLock } from ${JSON.stringify(lock)}
  const [path, inside] = process.argv.slice(1)
  await withLock(path, new AbortController().signal, async () => {
    mkdirSync(inside)
    await setTimeout(20)
    rmdirSync(inside)
  })
`

test('several processes that find a stale lock at once enter one after the other', async () => {
  const path = staleLock()
  const args = ['--input-type=module', '-e', enter, path, `${path}.inside`]
  await Promise.all(Array.from({ length: 6 }, () => promisify(execFile)(process.execPath, args)))
  expect(existsSync(path)).toBe(false)
})

test('a holder that has lost its lock leaves the lock of the next holder', async () => {
  const path = join(tempFolder(), 'lock')
  await withLock(path, signal, async () => {
    rmSync(path, { recursive: true })
    mkdirSync(path)
    await Promise.resolve()
  })
  expect(existsSync(path)).toBe(true)
})

test('nothing is left of a lock that is released', async () => {
  const folder = tempFolder()
  expect(await withLock(join(folder, 'lock'), signal, () => Promise.resolve(7))).toBe(7)
  expect(readdirSync(folder)).toEqual([])
})
