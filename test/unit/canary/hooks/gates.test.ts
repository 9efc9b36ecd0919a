import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Finding, Gate } from '../../../../src/canary/hooks/finding.ts'
import { createGates } from '../../../../src/canary/hooks/gates.ts'

// The fake timers keep the wall clock; the other one they do not know.
vi.mock('../../../../src/runtime/clock.ts', () => ({ monotonicNow: () => Date.now() }))

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Gates whose answers the test gives, in the order in which they are asked for. */
function asking() {
  const open: {
    gate: Gate
    answer: (state: Finding['state']) => Promise<void>
    fail: (error: Error) => Promise<void>
  }[] = []
  const { answers } = createGates(
    (gate) =>
      new Promise<Finding>((resolve, reject) => {
        open.push({
          gate,
          answer: async (state) => (resolve({ name: 'hook', state, text: state, at: Date.now() }), await settle()),
          fail: async (error) => (reject(error), await settle()),
        })
      }),
  )
  return { answers, open }
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const later = (ms: number) => vi.setSystemTime(Date.now() + ms)

test('a gate that is due is asked, and its answer is there when it comes', async () => {
  const { answers, open } = asking()
  expect(answers(['pre-rollout'])).toEqual({})
  expect(answers(['pre-rollout'])).toEqual({})
  expect(open.map(({ gate }) => gate)).toEqual(['pre-rollout'])
  await open[0]!.answer('fail')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
})

test('it is asked again 5 s after it answered, and until then the last answer stands', async () => {
  const { answers, open } = asking()
  answers(['pre-rollout'])
  await open[0]!.answer('fail')
  later(4_999)
  answers(['pre-rollout'])
  expect(open).toHaveLength(1)
  later(1)
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
  expect(open).toHaveLength(2)
  await open[1]!.answer('pass')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'pass' } })
})

test('one that is not due is neither asked nor answered', async () => {
  const { answers, open } = asking()
  answers(['rollback', 'confirm-rollout'])
  await open[0]!.answer('fail')
  await open[1]!.answer('pass')
  expect(Object.keys(answers(['rollback']))).toEqual(['rollback'])
  expect(answers([])).toEqual({})
})

test('one that cannot be asked is undecided', async () => {
  const { answers, open } = asking()
  answers(['rollback'])
  await open[0]!.fail(new Error('no address'))
  expect(answers(['rollback'])).toMatchObject({
    rollback: { name: 'rollback', state: 'undecided', text: 'no address' },
  })
})
