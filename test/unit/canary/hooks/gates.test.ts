import { setImmediate as settle } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createGates } from '../../../../src/canary/hooks/gates.ts'
import type { Finding, Gate } from '../../../../src/canary/state/finding.ts'
import { ManualClock } from './manual-clock.ts'

/** Gates whose answers the test gives. `questions`: all questions so far, in their order. */
function gatesWith() {
  const clock = new ManualClock()
  const questions: {
    gate: Gate
    answer: (state: Finding['state']) => Promise<void>
    fail: (error: Error) => Promise<void>
  }[] = []
  const { answers } = createGates(
    (gate) =>
      new Promise<Finding>((resolve, reject) => {
        questions.push({
          gate,
          answer: async (state) => (resolve({ name: 'hook', state, text: state, at: clock.now() }), await settle()),
          fail: async (error) => (reject(error), await settle()),
        })
      }),
    clock,
  )
  return { answers, questions, clock }
}

test('a due gate is asked once, and its answer is returned when it arrives', async () => {
  const { answers, questions } = gatesWith()
  expect(answers(['pre-rollout'])).toEqual({})
  expect(answers(['pre-rollout'])).toEqual({})
  expect(questions.map(({ gate }) => gate)).toEqual(['pre-rollout'])
  await questions[0]!.answer('fail')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
})

test('a gate is asked again 5 s after an answer, and keeps its last answer until then', async () => {
  const { answers, questions, clock } = gatesWith()
  answers(['pre-rollout'])
  await questions[0]!.answer('fail')
  await clock.advance(4_999)
  answers(['pre-rollout'])
  expect(questions).toHaveLength(1)
  await clock.advance(1)
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'fail' } })
  expect(questions).toHaveLength(2)
  await questions[1]!.answer('pass')
  expect(answers(['pre-rollout'])).toMatchObject({ 'pre-rollout': { state: 'pass' } })
})

test('a gate that is not due is neither asked nor returned', async () => {
  const { answers, questions } = gatesWith()
  answers(['rollback', 'confirm-rollout'])
  await questions[0]!.answer('fail')
  await questions[1]!.answer('pass')
  expect(Object.keys(answers(['rollback']))).toEqual(['rollback'])
  expect(answers([])).toEqual({})
})

test('a gate is undecided when it cannot be asked', async () => {
  const { answers, questions } = gatesWith()
  answers(['rollback'])
  await questions[0]!.fail(new Error('no address'))
  expect(answers(['rollback'])).toMatchObject({
    rollback: { name: 'rollback', state: 'undecided', text: 'no address' },
  })
})
