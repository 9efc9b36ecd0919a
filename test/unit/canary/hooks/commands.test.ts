import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { runCheckCommand } from '../../../../src/canary/hooks/commands.ts'
import type { ClusterOfFleet, PromotionStatus } from '../../../../src/canary/hooks/promotion-status.ts'
import { tempFolder } from '../../fixtures.ts'

const status: PromotionStatus = {
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
  return runCheckCommand({ run: [process.execPath, '-e', script], timeout, failures: 1 }, status, signal)
}

test.each<[string, string, string, string]>([
  ['exit code 0 with output', 'console.log("all"); console.log("well")', 'pass', 'well'],
  ['exit code 0 without output', '', 'pass', 'exit code 0'],
  [
    'exit code 3 with output',
    'console.log("p99 is fine"); console.error("error rate 7 %"); process.exitCode = 3',
    'fail',
    'error rate 7 %',
  ],
  ['exit code 1 without output', 'process.exitCode = 1', 'fail', 'exit code 1'],
])('a command has the expected result for %s', async (_, script, state, text) => {
  expect(await node(script)).toEqual({ state, text })
})

test('a command is undecided when something else kills the program', async () => {
  expect(await node('process.kill(process.pid, "SIGTERM")')).toEqual({
    state: 'undecided',
    text: 'killed by SIGTERM',
  })
})

test('a command is undecided when its program does not start', async () => {
  expect(await runCheckCommand({ run: ['/no/such/program'], timeout: 1_000, failures: 1 }, status, never)).toEqual({
    state: 'undecided',
    text: 'cannot start /no/such/program: spawn /no/such/program ENOENT',
  })
})

test('a command gets the promotion in its environment, and none of our inputs', async () => {
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

test('a command of a fleet learns which cluster it checks, and how kubectl reaches it', async () => {
  const script =
    'const { MESH_CANARY_CLUSTER, MESH_CANARY_CONTEXT, KUBECONFIG } = process.env; console.log(MESH_CANARY_CLUSTER, MESH_CANARY_CONTEXT, KUBECONFIG)'
  const run = (cluster: ClusterOfFleet) =>
    runCheckCommand(
      { run: [process.execPath, '-e', script], timeout: 30_000, failures: 1 },
      { ...status, cluster },
      never,
    )
  vi.stubEnv('KUBECONFIG', '/home/ci/config')
  onTestFinished(() => void vi.unstubAllEnvs())
  expect(await run({ name: 'eu', context: 'eu', kubeconfig: '/tmp/eu.yaml' })).toMatchObject({
    text: 'eu eu /tmp/eu.yaml',
  })
  expect(await run({ name: 'us', context: 'us' })).toMatchObject({ text: 'us us /home/ci/config' })
})

test('a command gets its arguments unchanged, without a shell', async () => {
  const script = 'console.log(process.argv[1])'
  expect(
    await runCheckCommand(
      { run: [process.execPath, '-e', script, '$(id); "x"'], timeout: 30_000, failures: 1 },
      status,
      never,
    ),
  ).toMatchObject({ text: '$(id); "x"' })
})

/**
 * A program that starts a child and waits. The result comes when both have ended, because both keep the output open.
 */
const parent = (then: string) => `
  require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
  ${then}
  setInterval(() => {}, 1000)`

test('a command that takes too long fails, and is killed with its children', async () => {
  expect(await node(parent("console.log('waiting')"), { timeout: 2_000 })).toEqual({
    state: 'fail',
    text: 'killed after 2 s (`timeout`): waiting',
  })
})

test('a command is killed with its children when the checks stop', async () => {
  const file = join(tempFolder(), 'started')
  const stopping = new AbortController()
  const answer = node(parent(`require('node:fs').writeFileSync(${JSON.stringify(file)}, '')`), {
    signal: stopping.signal,
  })
  await vi.waitFor(() => expect(existsSync(file)).toBe(true), { timeout: 10_000 })
  stopping.abort()
  expect(await answer).toEqual({ state: 'undecided', text: 'killed by SIGKILL' })
})
