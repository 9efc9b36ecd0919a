import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { runCheckCommand } from '../../../../src/canary/hooks/commands.ts'
import type { PromotionStatus } from '../../../../src/canary/hooks/finding.ts'
import { tempFolder } from '../../fixtures.ts'

const outside: PromotionStatus = {
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
}
const never = new AbortController().signal

function node(script: string, { timeout = 30_000, signal = never } = {}) {
  return runCheckCommand({ run: [process.execPath, '-e', script], timeout, failures: 1 }, outside, signal)
}

test.each<[string, string, string, string]>([
  ['0', 'console.log("all"); console.log("well")', 'pass', 'well'],
  ['0 without a word', '', 'pass', 'exit code 0'],
  ['3', 'console.log("p99 is fine"); console.error("error rate 7 %"); process.exitCode = 3', 'fail', 'error rate 7 %'],
  ['1 without a word', 'process.exitCode = 1', 'fail', 'exit code 1'],
])('a program that ends with %s', async (_, script, state, text) => {
  expect(await node(script)).toEqual({ state, text })
})

test('one that something else killed says nothing about the canary', async () => {
  expect(await node('process.kill(process.pid, "SIGTERM")')).toEqual({
    state: 'undecided',
    text: 'it was ended by SIGTERM',
  })
})

test('one that cannot be started says nothing either', async () => {
  expect(await runCheckCommand({ run: ['/no/such/program'], timeout: 1_000, failures: 1 }, outside, never)).toEqual({
    state: 'undecided',
    text: '/no/such/program cannot be started: spawn /no/such/program ENOENT',
  })
})

test('it gets the step in its environment, and none of our inputs', async () => {
  for (const name of ['INPUT_KUBECONFIG', 'MESH_CANARY_KUBECONFIG']) vi.stubEnv(name, 'secret')
  vi.stubEnv('TEAM', 'shop')
  const { text } = await node(
    'const { env } = process; console.log(JSON.stringify(Object.fromEntries(Object.entries(env).filter(([name]) => /^(INPUT_|MESH_CANARY_|TEAM$)/.test(name)))))',
  )
  vi.unstubAllEnvs()
  expect(JSON.parse(text)).toEqual({
    TEAM: 'shop',
    MESH_CANARY_NAMESPACE: 'shop',
    MESH_CANARY_SERVICE: 'backend',
    MESH_CANARY_STABLE: 'v1',
    MESH_CANARY_CANARY: 'v2',
    MESH_CANARY_WEIGHT: '25',
    MESH_CANARY_STEP: '2',
  })
})

test('arguments are taken as they are, no shell reads them', async () => {
  const script = 'console.log(process.argv[1])'
  expect(
    await runCheckCommand(
      { run: [process.execPath, '-e', script, '$(id); "x"'], timeout: 30_000, failures: 1 },
      outside,
      never,
    ),
  ).toMatchObject({ text: '$(id); "x"' })
})

/** A program that starts another one and waits. The answer comes when both are gone, as both hold the output open. */
const parent = (then: string) => `
  require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
  ${then}
  setInterval(() => {}, 1000)`

test('one that takes too long is killed with all that it started, and has failed', async () => {
  expect(await node(parent("console.log('waiting')"), { timeout: 2_000 })).toEqual({
    state: 'fail',
    text: 'it was ended after 2 s (`timeout`): waiting',
  })
})

test('one that is stopped is killed with all that it started', async () => {
  const file = join(tempFolder(), 'started')
  const stopping = new AbortController()
  const answer = node(parent(`require('node:fs').writeFileSync(${JSON.stringify(file)}, '')`), {
    signal: stopping.signal,
  })
  await vi.waitFor(() => expect(existsSync(file)).toBe(true), { timeout: 10_000 })
  stopping.abort()
  expect(await answer).toEqual({ state: 'undecided', text: 'it was ended by SIGKILL' })
})
