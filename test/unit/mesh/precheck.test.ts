// A script stands in for istioctl: only its output and its exit code matter here.
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
  ['no findings for empty output', '', 0, [], { errors: [], warnings: [] }],
  ['no findings for null', 'null', 0, [], { errors: [], warnings: [] }],
  [
    'errors and warnings from the output, whatever the exit code',
    JSON.stringify([error, warning, info]),
    1,
    [],
    { errors: ['IST0141 Cluster: Missing required permission'], warnings: ['IST0172: old'] },
  ],
  [
    'only warnings, for which the exit code is 1 too',
    JSON.stringify([warning]),
    1,
    [],
    { errors: [], warnings: ['IST0172: old'] },
  ],
  ['no suppressed codes', JSON.stringify([error, warning]), 1, ['IST0141', 'IST0172'], { errors: [], warnings: [] }],
])('precheck reports %s', async (_, stdout, code, suppress, result) => {
  expect(await prechecked(stdout, code, suppress)).toEqual(result)
})

test.each([
  ['fails without output', '', 'Error: connection refused'],
  ['prints something other than JSON', 'panic: x', 'Error: connection refused'],
])('precheck fails when istioctl %s', async (_, stdout, stderr) => {
  await expect(prechecked(stdout, 1, [], stderr)).rejects.toThrow(
    'istioctl x precheck (exit code 1) gave no result: Error: connection refused',
  )
})
