import { describe, expect, test } from 'vitest'
import {
  experimentRun,
  guardIdentity,
  rollbackIdentity,
  type SavedPromotion,
} from '../../../src/canary/ownership/lease-object.ts'
import { next } from '../../../src/canary/state/machine.ts'
import { progressView } from '../../../src/canary/state/progress-view.ts'
import { initialState } from '../../../src/canary/state/start.ts'
import { setShiftTime } from '../../../src/canary/state/steps.ts'
import { endHeld } from '../../../src/canary/state/ending.ts'
import type { State } from '../../../src/canary/state/types.ts'
import { leaseStatus } from '../../../src/cli/lease-status.ts'
import { changeLog } from '../../../src/cli/status.ts'
import { progressLines } from '../../../src/cli/progress-lines.ts'
import type { Lease } from '../../../src/cluster/objects.ts'
import { planOf, served, servedByStable } from '../fixtures.ts'

const plan = planOf('stable: v1, canary: v2, steps: [20, 50, 100], interval: 30s')
const start = Date.parse('2026-11-30T07:00:00Z')

/** After so many seconds of a healthy canary; `failures`: of its 10 requests in each second. */
function stateAfter(seconds: number, failures = 0): State {
  let state: State = initialState(plan, 0, start)
  for (let now = start; now <= start + seconds * 1000 && state.phase !== 'ended'; now += 1_000) {
    const canary = served(state.weight / 2, state.weight > 0 ? failures : 0)
    const stable = servedByStable(state.weight, canary.requests)
    const users = served(canary.requests + stable.requests)
    const observation = { canary, stable, users, ready: true, complete: true, findings: [], gates: {} }
    const { state: after, actions } = next(plan, state, observation, now)
    state = after.phase !== 'ended' && actions.length > 0 ? setShiftTime(after, now) : after
  }
  return state
}

const holder = 'https://github.example/acme/shop/actions/runs/7 (0a1b2c3d)'

function leaseOf(
  state: State,
  seconds: number,
  more: { holder?: string; annotations?: Record<string, string> } = {},
): Lease {
  const now = start + seconds * 1000
  const shown = { ...progressView(plan, state, now), guardMs: 30_000 }
  const savedAt = new Date(now).toISOString()
  const saved: SavedPromotion = { version: 5, plan: 'p', template: 't', run: 'r', savedAt, state, shown }
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      name: 'mesh-canary-backend',
      namespace: 'shop',
      annotations: {
        'mesh-canary.io/state': JSON.stringify(saved),
        'mesh-canary.io/run': 'https://github.example/acme/shop/actions/runs/7',
        'mesh-canary.io/guard': holder,
        ...more.annotations,
      },
    },
    spec: { holderIdentity: more.holder ?? holder, leaseDurationSeconds: 30, renewTime: savedAt },
  }
}

describe('the status of a promotion, from its Lease', () => {
  test('shows step, weight, evidence, holder and guard', () => {
    const { lines } = leaseStatus(leaseOf(stateAfter(10), 10), start + 13_000)
    expect(lines).toEqual([
      expect.stringMatching(/^shop\/backend: v2 beside v1: step 1 of 3, weight 20%, \w+.*, at least 7\d s left$/),
      expect.stringMatching(/^ {2}succeeded v2 100% of \d+ · v1 100% of \d+ · users 100% of \d+$/),
      expect.stringMatching(/^ {2}against {3}[█░]{24} [\d.]+, rolls back at 100$/),
      expect.stringMatching(/^ {2}for {7}[█░]{24} [\d.]+, passes at 20 \(.+\)$/),
      '  holder    https://github.example/acme/shop/actions/runs/7, renewed 3 s ago',
      '  guard     watches this run, and acts after 30 s of silence',
    ])
  })

  test('counts the time left down from when it was saved', () => {
    const lease = leaseOf(stateAfter(10), 10)
    const left = (seconds: number) =>
      Number(/at least (\d+) s/.exec(leaseStatus(lease, start + seconds * 1000).line)![1])
    expect(left(10) - left(14)).toBe(4)
  })

  test('says that a run is silent, and whose guard does not watch yet', () => {
    const lease = leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/guard': '' } })
    const { lines, about } = leaseStatus(lease, start + 50_000)
    expect(lines.slice(-2)).toEqual([
      '  holder    https://github.example/acme/shop/actions/runs/7, renewed 40 s ago, which is longer than it may be silent',
      '  guard     does not watch this run yet',
    ])
    expect(about).not.toBe(leaseStatus(lease, start + 11_000).about)
  })

  test.each<[string, string, string]>([
    ['nobody watches', '', 'no guard is known to watch it'],
    ['its guard watches', holder, 'its guard has not acted yet'],
  ])('tells in one line that a run is silent that %s, and promises no time', (_, guard, whatNow) => {
    const lease = leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/guard': guard } })
    const { line, lines } = leaseStatus(lease, start + 610_000)
    const text = `v2 beside v1: step 1 of 3, weight 20% then; its run has been silent for 600 s, and ${whatNow}`
    expect(line).toBe(`shop/backend: ${text}`)
    expect(lines[0]).toBe(line)
  })

  test.each<[string, object]>([
    ['nothing but its version', { version: 5 }],
    ['no state', { version: 5, savedAt: '2026-11-30T07:00:00Z' }],
    ['an end without a verdict', { version: 5, savedAt: '2026-11-30T07:00:00Z', state: { phase: 'ended', weight: 0 } }],
    ['no time', { version: 5, savedAt: 'x', state: { phase: 'watching', weight: 20 } }],
    [
      'a view of another shape',
      { version: 5, savedAt: '2026-11-30T07:00:00Z', state: { phase: 'watching', weight: 20 }, shown: { stage: 1 } },
    ],
  ])('says no more than it can of one that has saved %s', (_, saved) => {
    const lease = leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/state': JSON.stringify(saved) } })
    expect(leaseStatus(lease, start + 11_000).line).toBe(
      'shop/backend: a promotion by another version of mesh-canary, which says no more here',
    )
  })

  test.each<[string, string, string]>([
    ['the guard', guardIdentity(holder), 'how it was before; but it has been silent for 600 s'],
    ['an experiment', experimentRun('run 7', 'slow'), 'an experiment; its run has been silent for 600 s'],
    [
      'the stage rollback',
      rollbackIdentity('run 9'),
      'returns the traffic to stable; its run has been silent for 600 s',
    ],
  ])('says that %s is silent', (_, who, text) => {
    const lease = leaseOf(stateAfter(10), 10, { holder: who })
    expect(leaseStatus(lease, start + 610_000).line).toContain(text)
    expect(leaseStatus(lease, start + 11_000).line).not.toContain('silent')
  })

  test('promises nothing of a holder that has never renewed', () => {
    const lease = leaseOf(stateAfter(10), 10)
    delete lease.spec!.renewTime
    expect(leaseStatus(lease, start + 11_000).line).toContain('its run has never renewed its Lease')
  })

  test('has no line that somebody has written into a Lease', () => {
    const forged = 'x\nshop/frontend: v2 beside v1: promoted at weight 100%'
    const annotations = { 'mesh-canary.io/ended': forged, 'mesh-canary.io/run': forged, 'mesh-canary.io/guard': forged }
    const { lines } = leaseStatus(leaseOf(stateAfter(10), 10, { holder: '', annotations }), start + 11_000)
    expect(lines.join('')).not.toContain('\n')
  })

  test.each<[string, Lease, string]>([
    [
      'whose guard acts',
      leaseOf(stateAfter(10), 10, { holder: guardIdentity(holder) }),
      'shop/backend: the guard returns everything to how it was before',
    ],
    [
      'that the stage rollback has ended',
      leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/ended': 'the stage rollback of x' } }),
      'shop/backend: ended by somebody else: the stage rollback of x',
    ],
    [
      'that is held',
      leaseOf(endHeld(stateAfter(10), 'cancelled', start).state, 10, { holder: '' }),
      'shop/backend: held at weight 20%: cancelled',
    ],
    [
      'that was interrupted',
      leaseOf(stateAfter(10), 10, { holder: '' }),
      'v2 beside v1: interrupted at step 1 of 3, with weight 20% then; a later run goes on from there',
    ],
    [
      'that an experiment holds',
      leaseOf(stateAfter(10), 10, { holder: experimentRun('run 7', 'slow') }),
      'shop/backend: an experiment',
    ],
    [
      'of another version',
      leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/state': '{"version":4}' } }),
      'shop/backend: a promotion by another version of mesh-canary',
    ],
    [
      'that is not JSON',
      leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/state': '{' } }),
      'shop/backend: a promotion by another version of mesh-canary',
    ],
  ])('of one %s', (_, lease, text) => {
    expect(leaseStatus(lease, start + 11_000).line).toContain(text)
  })
})

describe('the lines of a promotion', () => {
  const barOf = (state: State, name: string) =>
    progressLines(progressView(plan, state, start)).find((line) => line.startsWith(`  ${name}`)) ?? ''

  test('show more evidence as a longer bar: against a bad canary, and for a good one', () => {
    const filled = (line: string) => line.split('█').length - 1
    expect(filled(barOf(stateAfter(3, 1), 'against'))).toBeGreaterThan(filled(barOf(stateAfter(10), 'against')))
    expect(filled(barOf(stateAfter(80), 'for'))).toBeGreaterThan(filled(barOf(stateAfter(5), 'for')))
  })

  test('are those of the controller that moves the traffic, without a time', () => {
    const [first, second] = progressLines(
      progressView(plan, stateAfter(10), start),
      'moved by Flagger: moving, weight 10%',
    )
    expect(first).toBe('v2 of backend: moved by Flagger: moving, weight 10%')
    expect(second).toContain('succeeded v2 100%')
  })

  test('are one when it has ended', () => {
    const ended = stateAfter(60, 5)
    expect(progressLines(progressView(plan, ended, start))).toEqual(['v2 of backend: rolled-back, weight 0%'])
  })
})

test('a watched status has a line for each change, one every ten seconds, and one for the end', () => {
  const lines: string[] = []
  const log = changeLog((line) => void lines.push(line))
  const status = (step: number) => ({
    name: 'shop/backend',
    about: `${step}`,
    line: `shop/backend: step ${step}`,
    lines: [],
  })
  const scope = 'in the cluster'
  for (let second = 0; second <= 25; second++) {
    const all = second < 2 || second > 20 ? [] : [status(second < 8 ? 1 : 2)]
    log({ scope, all }, second * 1_000)
  }
  expect(lines).toEqual([
    'no promotion and no experiment is in progress in the cluster',
    'shop/backend: step 1',
    'shop/backend: step 2',
    'shop/backend: step 2',
    'no promotion and no experiment is in progress in the cluster',
    'shop/backend: ended',
  ])
})
