import { describe, expect, test } from 'vitest'
import { SampleLog } from '../../../../src/canary/controller/sample-log.ts'
import { msLeft } from '../../../../src/canary/state/progress-view.ts'
import { initialState } from '../../../../src/canary/state/start.ts'
import { next } from '../../../../src/canary/state/machine.ts'
import { setShiftTime } from '../../../../src/canary/state/steps.ts'
import type { Observation, State } from '../../../../src/canary/state/types.ts'
import type { CanaryConfig } from '../../../../src/config/schema.ts'
import { planOf, served, servedByStable } from '../../fixtures.ts'

const observed = (state: State, more: Partial<Observation> = {}): Observation => {
  const canary = served(state.weight / 5)
  const stable = servedByStable(state.weight, canary.requests)
  const users = served(canary.requests + stable.requests)
  return { canary, stable, users, ready: true, complete: true, findings: [], gates: {}, ...more }
}

/** A sample a second for so long. `change`: what differs at that second. Returns the lines with their second. */
function linesOf(plan: CanaryConfig, seconds: number, change: Record<number, Partial<Observation>> = {}) {
  const log = new SampleLog(plan, (at, now) => msLeft(plan, at, now))
  const lines: [second: number, line: string][] = []
  let state: State = initialState(plan, 0, 0)
  for (let second = 0; second < seconds && state.phase !== 'ended'; second++) {
    const observation = observed(state, change[second])
    const line = log.lineFor(state, observation, second * 1000)
    if (line !== undefined) lines.push([second, line])
    const { state: after, actions } = next(plan, state, observation, second * 1000)
    state = after.phase !== 'ended' && actions.length > 0 ? setShiftTime(after, second * 1000) : after
  }
  return lines
}

describe('the samples of a promotion in the log', () => {
  const plan = planOf('steps: [50, 100], interval: 1m')

  test('have a line when something changes, and one every ten seconds with the time left', () => {
    const lines = linesOf(plan, 40)
    const gaps = lines.slice(1).map(([second], i) => second - lines[i]![0])
    expect(Math.max(...gaps)).toBe(10)
    expect(lines.length).toBeLessThan(9)
    expect(lines.at(-1)![1]).toMatch(/^at weight 50: canary \d+ requests, 0 failed · .* · at least \d+ s left$/)
  })

  test('count in a line what the samples without one have seen', () => {
    const lines = linesOf(plan, 40)
    const requests = lines.map(([, line]) => Number(/canary (\d+)/.exec(line)![1]))
    const [first] = lines.find(([, line]) => line.includes('canary 10 requests'))!
    const [last] = lines.at(-1)!
    const sinceFirst = requests.slice(lines.findIndex(([second]) => second === first))
    expect(sinceFirst.reduce((sum, each) => sum + each, 0)).toBe(10 * (last - first + 1))
  })

  test('have a line at once for the first failures and for what a hook says', () => {
    const finding = { name: 'smoke', state: 'fail' as const, text: 'no cart', at: 23_000 }
    const lines = linesOf(plan, 30, { 23: { users: served(20, 1) }, 26: { findings: [finding] } })
    const at = (second: number) => lines.find(([each]) => each === second)?.[1]
    expect(at(23)).toContain('users')
    expect(at(23)).toMatch(/users \d+ requests, 1 failed/)
    expect(at(26)).toContain('smoke: no cart')
  })

  test('have all a line with `explain`', () => {
    expect(linesOf(planOf('steps: [50, 100], interval: 1m, explain: true'), 30)).toHaveLength(30)
  })
})
