// What the post step tells GitHub about a run that ended in the middle of its promotion.
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { action } from '../../../src/action/github.ts'
import { finishReporting } from '../../../src/action/reporting.ts'
import type { AfterRun } from '../../../src/report/after-run.ts'
import { runPost, type PostState } from '../../../src/post.ts'

vi.mock('../../../src/post.ts', async (original) => ({ ...(await original<object>()), runPost: vi.fn() }))
vi.mock('../../../src/action/reporting.ts')
afterEach(() => void vi.unstubAllEnvs())

const intents = [{ split: { service: 'backend' } }] as unknown as NonNullable<PostState['intents']>
const done = 'the run ended in the middle of a promotion: all traffic of backend was returned to v1'

const after = (lines: string[], isTrafficUnsafe = false) => ({ lines, isTrafficUnsafe })

test.each<[string, PostState, string[] | Error, [AfterRun, boolean]]>([
  ['the traffic is back', { intents }, [done], [after([done]), false]],
  ['the weights are held', { intents, held: true }, [done], [after([done]), true]],
  [
    'the weights are held in one cluster of a fleet only',
    { clusters: { eu: { intents, held: true }, us: { intents } } },
    [done],
    [after([done]), false],
  ],
  [
    'the weights are held in every cluster that has some',
    { clusters: { eu: { intents, held: true }, us: {} } },
    [done],
    [after([done]), true],
  ],
  ['a cancelled run had nothing to hold', { held: true }, [], [after([]), false]],
  [
    'it failed, without the error, which may hold a secret',
    { intents, held: true },
    new Error('cannot reach https://user:secret@cluster.example'),
    [after([], true), false],
  ],
  ['it failed with no traffic left to put back', { held: true }, new Error('kind'), [after([]), false]],
])('the post step tells GitHub how the promotion ended when %s', async (_, left, result, told) => {
  const exitCode = process.exitCode
  onTestFinished(() => void (process.exitCode = exitCode))
  vi.stubEnv('STATE_main', 'begun')
  vi.stubEnv('STATE_left', JSON.stringify(left))
  vi.mocked(runPost).mockImplementation(() =>
    result instanceof Error ? Promise.reject(result) : Promise.resolve(result),
  )
  await action()
  expect(finishReporting).toHaveBeenLastCalledWith(...told)
})
