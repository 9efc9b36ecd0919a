import { describe, expect, test } from 'vitest'
import {
  experimentRun,
  guardIdentity,
  handOverIdentity,
  rollbackIdentity,
  type SavedPromotion,
} from '../../../src/canary/ownership/lease-object.ts'
import { next } from '../../../src/canary/state/machine.ts'
import { progressView } from '../../../src/canary/state/progress-view.ts'
import { initialState, resumeState } from '../../../src/canary/state/start.ts'
import { setShiftTime } from '../../../src/canary/state/steps.ts'
import { endHeld } from '../../../src/canary/state/ending.ts'
import type { State } from '../../../src/canary/state/types.ts'
import { leaseStatus } from '../../../src/cli/lease-status.ts'
import { changeLog, readAll, watchStatus, type Statuses } from '../../../src/cli/status.ts'
import { progressLines } from '../../../src/cli/progress-lines.ts'
import type { Lease } from '../../../src/cluster/objects.ts'
import { FakeClock } from '../fake-clock.ts'
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

const runName = 'https://github.example/acme/shop/actions/runs/7'
const holder = `${runName} (0a1b2c3d)`

function leaseOf(
  state: State,
  seconds: number,
  more: { holder?: string; annotations?: Record<string, string> } = {},
): Lease {
  const now = start + seconds * 1000
  const shown = { ...progressView(plan, state, now), guardMs: 30_000 }
  const savedAt = new Date(now).toISOString()
  const saved: SavedPromotion = { version: 5, plan: 'p', template: 't', run: runName, savedAt, state, shown }
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

test('the statuses of a fleet name their clusters, and one that cannot be read hides no other', async () => {
  const status = leaseStatus(leaseOf(stateAfter(10), 10), start + 13_000)
  const { all, unread, scope } = await readAll([
    { cluster: 'eu', read: () => Promise.resolve({ scope: 'in the cluster', all: [status] }) },
    { cluster: 'us', read: () => Promise.reject(new Error('connect ECONNREFUSED')) },
  ])
  expect(all).toEqual([{ cluster: 'eu', ...status }])
  expect(unread).toEqual([{ cluster: 'us', problem: 'the promotions cannot be read: connect ECONNREFUSED' }])
  expect(scope).toBe('in the cluster eu')
})

test('nothing is shown of a fleet of which no cluster can be read', async () => {
  const places = ['eu', 'us'].map((cluster) => ({ cluster, read: () => Promise.reject(new Error('no route')) }))
  await expect(readAll(places)).rejects.toThrow(
    'eu: the promotions cannot be read: no route\nus: the promotions cannot be read: no route',
  )
})

describe('the status of a promotion, from its Lease', () => {
  test('that is promoted and waits for others says so', () => {
    const promoted = stateAfter(200)
    expect(promoted).toMatchObject({ phase: 'ended', verdict: 'promoted' })
    const waiting = resumeState(promoted, 100, start + 200_000)
    const { line } = leaseStatus(leaseOf(waiting, 200), start + 201_000)
    expect(line).toBe(
      'shop/backend: v2 beside v1: all 3 steps have passed, weight 100%, waiting for the other canaries',
    )
  })

  test('that was handed over says who may go on, and until when its guard waits', () => {
    const lease = leaseOf(stateAfter(10), 10, { holder: handOverIdentity(holder) })
    lease.spec!.leaseDurationSeconds = 3_600
    const { lines } = leaseStatus(lease, start + 13_000)
    expect(lines[0]).toBe(
      'shop/backend: v2 beside v1: handed over to the next run at step 1 of 3, weight 20%; nobody judges the canary until then',
    )
    expect(lines.slice(-2)).toEqual([
      '  holder    nobody; https://github.example/acme/shop/actions/runs/7 has handed it over 3 s ago',
      '  guard     waits for the next run; rolls back in 3597 s if none resumes',
    ])
  })

  test('shows step, weight, evidence, holder and guard', () => {
    const { lines } = leaseStatus(leaseOf(stateAfter(10), 10), start + 13_000)
    expect(lines).toEqual([
      expect.stringMatching(/^shop\/backend: v2 beside v1: step 1 of 3, weight 20%, \w+.*, at least 7\d s left$/),
      expect.stringMatching(
        /^ {2}success {3}v2 100% of \d+ requests · v1 100% of \d+ requests · users 100% of \d+ requests$/,
      ),
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
    ['nobody watches', '', 'no guard watches it'],
    ['its guard watches', holder, 'its guard has not acted yet'],
  ])('tells in one line that a run is silent that %s, and promises no time', (_, guard, whatNow) => {
    const lease = leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/guard': guard } })
    const { line, lines } = leaseStatus(lease, start + 610_000)
    const text = `v2 beside v1: step 1 of 3, weight 20% then; its run has been silent for 600 s, and ${whatNow}`
    expect(line).toBe(`shop/backend: ${text}`)
    expect(lines[0]).toBe(line)
  })

  test.each<[string, string, Record<string, string>, string]>([
    [
      'an experiment',
      experimentRun('run 7', 'slow'),
      {},
      'an experiment; its run has been silent for 600 s, and no guard watches it',
    ],
    [
      'a promotion of another version',
      holder,
      { 'mesh-canary.io/state': '{"version":4}' },
      'a promotion by another version of mesh-canary, whose saved state this version cannot read; its run has been silent for 600 s',
    ],
    [
      'a guard',
      guardIdentity(holder),
      {},
      'the guard has taken over, to return everything to how it was before, and the run was last alive 600 s ago; ' +
        'it needs seconds: after a minute, see the log of its Job',
    ],
    [
      'a roll back',
      rollbackIdentity('run 9'),
      { 'mesh-canary.io/ended': 'run 9 returned all traffic to stable (stage rollback)' },
      'run 9 (rollback) has taken over, to return all traffic to stable, and the run was last alive 600 s ago; ' +
        'it needs seconds: after a minute, see the log of that run, and run the stage rollback again',
    ],
  ])('shows for how long nobody has heard of %s', (_, silent, annotations, text) => {
    const { line, lines } = leaseStatus(leaseOf(stateAfter(10), 10, { holder: silent, annotations }), start + 610_000)
    expect(line).toBe(`shop/backend: ${text}`)
    expect(lines.at(-2)).toMatch(/600 s ago/)
  })

  test('promises no time of a run that has never renewed the Lease', () => {
    const lease = leaseOf(stateAfter(10), 10)
    lease.spec = { holderIdentity: holder }
    expect(leaseStatus(lease, start + 11_000).line).toBe(
      'shop/backend: v2 beside v1: step 1 of 3, weight 20% then; its run has never renewed the Lease, and its guard has not acted yet',
    )
  })

  test('promises no time of a run that has taken over and has saved nothing yet', () => {
    const lease = leaseOf(stateAfter(10), 10, { holder: 'run 8 (0a1b2c3d)' })
    expect(leaseStatus(lease, start + 11_000).line).toBe(
      'shop/backend: v2 beside v1: step 1 of 3, weight 20% then; run 8 has taken over, and has saved nothing yet',
    )
  })

  test.each<[string, object]>([
    ['nothing but its version', {}],
    ['no state', { savedAt: '2026-11-30T07:00:00Z' }],
    ['no time', { savedAt: 'x', state: { phase: 'watching', weight: 20 } }],
    [
      'a view of another shape',
      { savedAt: '2026-11-30T07:00:00Z', state: { phase: 'watching', weight: 20 }, shown: { stage: 1 } },
    ],
  ])('says no more than it can of one that has saved %s', (_, more) => {
    const saved = JSON.stringify({ version: 5, run: runName, ...more })
    const lease = leaseOf(stateAfter(10), 10, { annotations: { 'mesh-canary.io/state': saved } })
    expect(leaseStatus(lease, start + 11_000).line).toBe(
      'shop/backend: a promotion by another version of mesh-canary, whose saved state this version cannot read',
    )
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
      'shop/backend: the guard has taken over, to return everything to how it was before, and the run was last alive 1 s ago; it needs seconds',
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
  ])('tells of a promotion: %s', (_, lease, text) => {
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
    expect(second).toMatch(/^ {2}success {3}v2 100% of \d+ requests · /)
  })

  test('are one when it has ended', () => {
    const ended = stateAfter(60, 5)
    expect(progressLines(progressView(plan, ended, start))).toEqual(['v2 of backend: rolled back, weight 0%'])
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
    log({ scope, all, unread: [] }, second * 1_000)
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

test('a promotion in a cluster that cannot be read has not ended', () => {
  const lines: string[] = []
  const log = changeLog((line) => void lines.push(line))
  const status = { cluster: 'eu', name: 'shop/backend', about: '1', line: 'shop/backend: step 1', lines: [] }
  const scope = 'in the cluster us'
  log({ scope, all: [status], unread: [] }, 0)
  log({ scope, all: [], unread: [{ cluster: 'eu', problem: 'no route' }] }, 1_000)
  log({ scope, all: [], unread: [] }, 2_000)
  expect(lines).toEqual([
    'eu: shop/backend: step 1',
    'no promotion and no experiment is in progress in the cluster us',
    'eu: shop/backend: ended',
  ])
})

describe('a watched status', () => {
  const scope = 'in the cluster'
  const one: Statuses = {
    scope,
    unread: [],
    all: [{ name: 'shop/backend', about: '1', line: 'step 1', lines: ['step 1', '  holder'] }],
  }
  const note =
    '`status` shows what has a Lease in the cluster; rollouts of Argo Rollouts and Flagger have none, so they are missing'

  /** Reads these once a second, and stops after the last one. */
  async function watched(answers: (Statuses | string)[], isLive: boolean) {
    const shown: (string | string[])[] = []
    const clock = new FakeClock()
    const stop = new AbortController()
    const line = (text: string) => void shown.push(text)
    const live = (lines: string[]) => void (isLive && shown.push(lines))
    const left = [...answers]
    const read = () => {
      const answer = left.shift()!
      if (left.length === 0) stop.abort()
      return typeof answer === 'string' ? Promise.reject(new Error(answer)) : Promise.resolve(answer)
    }
    const end = await watchStatus(read, { info: line, warning: line, live, isLive }, clock, stop.signal).catch(String)
    return { shown, end }
  }

  test('says that it shows no rollouts of controllers, also beside a promotion', async () => {
    expect((await watched([one], true)).shown).toEqual([['step 1', '  holder', note], []])
    expect((await watched([one], false)).shown).toEqual([note, 'step 1'])
  })

  test('names the cluster of a fleet in the first line of each promotion, and of each that cannot be read', async () => {
    const [status] = one.all
    const fleet = {
      scope,
      all: [{ cluster: 'eu', ...status! }],
      unread: [{ cluster: 'us', problem: 'no route' }],
    }
    expect((await watched([fleet], true)).shown[0]).toEqual(['eu: step 1', '  holder', note, 'us: no route'])
    expect((await watched([fleet], false)).shown).toEqual([note, 'eu: step 1', 'us: no route'])
  })

  test('fails at once if the first read is refused', async () => {
    expect(await watched(['forbidden'], true)).toEqual({ shown: [], end: 'Error: forbidden' })
  })

  test('leaves nothing on the terminal that it cannot read any more', async () => {
    const { shown } = await watched([one, 'connection refused', 'connection refused', one], true)
    const failure = 'connection refused; last read'
    const block = ['step 1', '  holder', note]
    expect(shown).toEqual([block, [`${failure} 1 s ago`], [`${failure} 2 s ago`], block, []])
  })

  test('warns elsewhere when the failure changes, and every ten seconds', async () => {
    const { shown } = await watched([one, ...Array<string>(12).fill('no route'), one, 'no route', 'forbidden'], false)
    expect(shown).toEqual([note, 'step 1', 'no route', 'no route', 'step 1', 'no route', 'forbidden'])
  })
})
