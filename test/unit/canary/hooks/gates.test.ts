import { setImmediate as settle } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createGates } from '../../../../src/canary/hooks/gates.ts'
import type { Finding, Gate } from '../../../../src/canary/state/finding.ts'
import { ManualClock } from './manual-clock.ts'

/** Gates that the test answers. `asked`: the questions so far, in their order. */
function gatesWith() {
  const clock = new ManualClock()
  const asked: {
    gate: Gate
    answer: (state: Finding['state']) => Promise<void>
    fail: (error: Error) => Promise<void>
  }[] = []
  const { answers } = createGates(
    (gate) =>
      new Promise<Finding>((resolve, reject) => {
        asked.push({
          gate,
          answer: async (state) => (resolve({ name: 'hook', state, text: state, at: clock.now() }), await settle()),
          fail: async (error) => (reject(error), await settle()),
        })
      }),
    clock,
  )
  return { answers, asked, clock }
}

test('asks a gate that is due once, and returns its answer when it comes', async () => {
  const { answers, asked } = gatesWith()
  expect(answers(['pre-rollout'])).toEqual({})
  expect(answers(['pre-rollout'])).toEqual({})
  expect(asked.map(({ gate }) => gate)).toEqual(['pre-rollout'])
  await asked[0]!.answer('fail')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
})

test('asks again 5 s after an answer, and returns the last answer until then', async () => {
  const { answers, asked, clock } = gatesWith()
  answers(['pre-rollout'])
  await asked[0]!.answer('fail')
  await clock.advance(4_999)
  answers(['pre-rollout'])
  expect(asked).toHaveLength(1)
  await clock.advance(1)
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
  expect(asked).toHaveLength(2)
  await asked[1]!.answer('pass')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'pass' } })
})

test('neither asks nor returns a gate that is not due', async () => {
  const { answers, asked } = gatesWith()
  answers(['rollback', 'confirm-rollout'])
  await asked[0]!.answer('fail')
  await asked[1]!.answer('pass')
  expect(Object.keys(answers(['rollback']))).toEqual(['rollback'])
  expect(answers([])).toEqual({})
})

test('is undecided about a gate that cannot be asked', async () => {
  const { answers, asked } = gatesWith()
  answers(['rollback'])
  await asked[0]!.fail(new Error('no address'))
  expect(answers(['rollback'])).toMatchObject({
    rollback: { name: 'rollback', state: 'undecided', text: 'no address' },
  })
})
