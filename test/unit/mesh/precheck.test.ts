// A script stands for istioctl: what it prints and how it ends is all there is to it.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { precheck } from '../../../src/mesh/precheck.ts'
import { tempFolder } from '../fixtures.ts'

function prechecked(stdout: string, code: number, suppress: string[] = [], stderr = '') {
  const path = join(tempFolder(), 'istioctl')
  writeFileSync(path, `#!/bin/sh\ncat <<'END'\n${stdout}\nEND\necho "${stderr}" >&2\nexit ${code}\n`)
  chmodSync(path, 0o755)
  return precheck({ istioctl: path, cliArgs: [], suppress, signal: new AbortController().signal })
}

const error = { code: 'IST0141', level: 'Error', message: 'Missing required permission', origin: 'Cluster' }
const warning = { code: 'IST0172', level: 'Warning', message: 'old' }
const info = { code: 'IST0136', level: 'Info', message: 'alpha' }

test.each<[string, string, number, string[], Awaited<ReturnType<typeof precheck>>]>([
  ['nothing', '', 0, [], { errors: [], warnings: [] }],
  ['null', 'null', 0, [], { errors: [], warnings: [] }],
  [
    'errors and warnings, by what it says and not by how it ends',
    JSON.stringify([error, warning, info]),
    1,
    [],
    { errors: ['IST0141 Cluster: Missing required permission'], warnings: ['IST0172: old'] },
  ],
  [
    'warnings alone, on which it ends with 1 too',
    JSON.stringify([warning]),
    1,
    [],
    { errors: [], warnings: ['IST0172: old'] },
  ],
  ['not what is suppressed', JSON.stringify([error, warning]), 1, ['IST0141', 'IST0172'], { errors: [], warnings: [] }],
])('tells of %s', async (_, stdout, code, suppress, result) => {
  expect(await prechecked(stdout, code, suppress)).toEqual(result)
})

test.each([
  ['ends badly without a word', '', 'Error: connection refused'],
  ['prints something else', 'panic: x', 'Error: connection refused'],
])('rejects when it %s', async (_, stdout, stderr) => {
  await expect(prechecked(stdout, 1, [], stderr)).rejects.toThrow(
    'istioctl x precheck (exit code 1) gave no result: Error: connection refused',
  )
})
