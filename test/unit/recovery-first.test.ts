// A run that leaves users on a bad canary: the traffic returns before anything is told of it, on GitHub and on the command line.
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { action } from '../../src/action/github.ts'
import { runCommand } from '../../src/cli/run.ts'
import { emptyReport } from '../../src/report/report.ts'
import type { Host } from '../../src/stages/context.ts'
import { startGithubApi } from '../github-api.ts'
import { configOf, tempFolder } from './fixtures.ts'

const order: string[] = []
vi.mock('../../src/run.ts', () => ({
  run: (_: unknown, host: Host) => {
    host.onRecoveryIntents([{ split: { service: 'backend' } } as Parameters<Host['onRecoveryIntents']>[0][0]])
    const ended = { verdict: 'inconclusive', outcome: 'failure', error: 'the API server refuses' } as const
    return Promise.resolve({ ...emptyReport('shop', new Date(0), false), ...ended })
  },
}))
vi.mock('../../src/post.ts', async (original) => ({
  ...(await original<object>()),
  runPost: () => {
    order.push('the traffic returns')
    return Promise.resolve(['the run ended in the middle of a promotion: backend is back on stable'])
  },
}))
vi.mock('../../src/cli/merge-request-note.ts', () => ({
  writeNote: () => {
    order.push('the note')
    return Promise.resolve()
  },
}))

const events = ['SIGINT', 'SIGTERM', 'SIGHUP', 'uncaughtException'] as const
const listenersOf = (event: string) => process.listeners(event as NodeJS.Signals)
const own = new Map(events.map((event) => [event, listenersOf(event)]))

let printed: string
beforeEach(() => {
  order.length = 0
  printed = ''
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed += String(text)
      return true
    })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  process.exitCode = undefined
  for (const [event, before] of own)
    for (const listener of listenersOf(event).filter((each) => !before.includes(each)))
      process.removeListener(event, listener)
})

const config = 'name: shop\nnamespace: shop\ncanary: { service: backend, stable: v1, canary: v2 }\ncomment: true'

test('the command line writes its note last', async () => {
  const report = join(tempFolder(), 'report.json')
  expect(await runCommand({ ...configOf(config), report }, {} as Parameters<typeof runCommand>[1])).not.toBe(0)
  expect(order).toEqual(['the traffic returns', 'the note'])
})

test('the action leaves the comment and the deployment to its post step', async () => {
  const api = await startGithubApi({ token: 'secret', permissions: ['pull-requests', 'deployments'] })
  onTestFinished(() => void api.server.close())
  const inputs = { name: 'shop', canary: '{ service: backend, stable: v1, canary: v2 }', comment: 'true' }
  for (const [name, value] of Object.entries({ ...inputs, deployment: 'production', 'github-token': 'secret' }))
    vi.stubEnv(`INPUT_${name.toUpperCase()}`, value)
  const runner = { GITHUB_API_URL: api.address, GITHUB_REPOSITORY: 'acme/shop', GITHUB_SHA: 'c0ffee' }
  const files = { GITHUB_STATE: '', GITHUB_OUTPUT: '', GITHUB_STEP_SUMMARY: '', RUNNER_TEMP: tempFolder() }
  const event = { GITHUB_EVENT_NAME: 'push', GITHUB_EVENT_PATH: '' }
  for (const [name, value] of Object.entries({ ...runner, ...files, ...event })) vi.stubEnv(name, value)
  await action()
  expect(api.state.requests).toEqual([])
  for (const [, name, value] of printed.matchAll(/::save-state name=(\w+)::(.*)/g))
    vi.stubEnv(`STATE_${name}`, value!.replaceAll('%0A', '\n').replaceAll('%25', '%'))
  await action()
  expect(order).toEqual(['the traffic returns'])
  expect(api.state.deployments[0]!.statuses.at(-1)).toMatchObject({ state: 'failure' })
})
