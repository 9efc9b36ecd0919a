// What the main step tells GitHub when it begins: of a fleet, once it has reached one of its clusters.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { action } from '../../../src/action/github.ts'
import { startReporting } from '../../../src/action/reporting.ts'
import { serve, tempFolder } from '../fixtures.ts'

vi.mock('../../../src/action/reporting.ts')
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

test.each([
  ['a run in one cluster', ''],
  ['a fleet', '{ eu: { context: one }, us: { context: two, wave: 2 } }'],
])('%s is announced when a cluster is known', async (_, clusters) => {
  const exitCode = process.exitCode
  onTestFinished(() => void (process.exitCode = exitCode))
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  const connected = vi.fn()
  const end = vi.fn(() => Promise.resolve())
  vi.mocked(startReporting).mockResolvedValue({ connected, end })
  const { address } = await serve((_, response) => void response.writeHead(403).end('{}'))
  const context = (name: string) => ({ name, context: { cluster: 'c', user: 'u' } })
  const kubeconfig = {
    clusters: [{ name: 'c', cluster: { server: address } }],
    users: [{ name: 'u', user: {} }],
    contexts: [context('one'), context('two')],
    'current-context': 'one',
  }
  const folder = tempFolder()
  const file = join(folder, 'kubeconfig')
  writeFileSync(file, JSON.stringify(kubeconfig))
  const env = {
    ...{ GITHUB_OUTPUT: '', GITHUB_STATE: '', GITHUB_STEP_SUMMARY: '', RUNNER_TEMP: folder, STATE_main: '' },
    ...{ INPUT_CANARY: 'service: backend', INPUT_KUBECONFIG: file, INPUT_STAGES: 'promote', INPUT_CLUSTERS: clusters },
  }
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
  await action()
  expect(connected).toHaveBeenCalledWith(address, expect.any(AbortSignal))
  expect(end).toHaveBeenCalledOnce()
})
