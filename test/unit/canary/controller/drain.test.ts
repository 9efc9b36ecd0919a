import { beforeEach, describe, expect, test } from 'vitest'
import { waitForDrain, type DrainResult, type SampleRequests } from '../../../../src/canary/controller/drain.ts'
import { FakeClock } from '../../fake-clock.ts'
import { randomFrom } from '../../random.ts'

let clock: FakeClock
let notes: string[]
beforeEach(() => {
  clock = new FakeClock()
  notes = []
})

/** The result when each sample is what `sample` returns at that time. */
function drained(
  sample: (ms: number) => number | Awaited<ReturnType<SampleRequests>>,
  { perSecond = 20, timeoutMs = 60_000, isOver = (): boolean => false } = {},
): Promise<DrainResult> {
  const sampled = (what: ReturnType<typeof sample>) => (typeof what === 'number' ? { served: what } : what)
  return waitForDrain(() => Promise.resolve(sampled(sample(clock.time))), {
    timeoutMs,
    perSecond,
    isOver,
    clock,
    note: (line) => notes.push(line),
  })
}

describe('the wait for a canary with weight 0', () => {
  test('ends a second after its last request', async () => {
    expect(await drained((ms) => (ms <= 1_500 ? 5 : 0))).toEqual({ kind: 'drained', secondsToSafe: 1.5 })
    expect([clock.time, notes]).toEqual([
      2_500,
      ['the canary is drained: no request to it ended later than 1.5 s after its weight was set to 0'],
    ])
  })

  test('lasts while it serves, up to the timeout', async () => {
    expect(await drained((ms) => (ms <= 45_000 ? 5 : 0))).toEqual({ kind: 'drained', secondsToSafe: 45 })
    clock = new FakeClock()
    expect(await drained(() => 5)).toEqual({ kind: 'serving', perSecond: 10, seconds: 60 })
  })

  test('lasts while requests reach no version, because they may have been for it', async () => {
    const failing = (ms: number) => ({ served: 0, unserved: ms <= 20_000 ? 2 : 0 })
    expect(await drained(failing)).toEqual({ kind: 'drained', secondsToSafe: 20 })
    expect(notes[0]).toContain('weight 0 is written, but 4.0 requests/s still reach no version')
    clock = new FakeClock()
    expect(await drained(() => ({ served: 0, unserved: 2 }))).toEqual({ kind: 'unserved', perSecond: 4, seconds: 60 })
  })

  test('tells a canary that is silent from one that serves, whatever it served at first', async () => {
    const atFirst = (ms: number) => ({ served: ms <= 500 ? 5 : 0, unserved: ms % 1_000 === 0 ? 1 : 0 })
    expect(await drained(atFirst, { perSecond: 5 })).toEqual({ kind: 'unserved', perSecond: 1, seconds: 60 })
    expect(notes).toEqual([
      'weight 0 is written, but 1.0 requests/s still reach no version: waiting for the proxies (`progressDeadline`)',
    ])
    clock = new FakeClock()
    const both = (ms: number) => ({ ...atFirst(ms), served: 1 })
    expect(await drained(both, { perSecond: 5 })).toEqual({ kind: 'serving', perSecond: 2, seconds: 60 })
  })

  test('lasts longer than a short timeout while it is silent, and no longer than until its next request', async () => {
    const until = (last: number) => (ms: number) => (ms === last ? 1 : 0)
    const short = { perSecond: 0, timeoutMs: 5_000 }
    expect(await drained(until(4_000), short)).toEqual({ kind: 'drained', secondsToSafe: 4 })
    expect(clock.time).toBe(13_500)
    clock = new FakeClock()
    const two = (ms: number) => until(4_000)(ms) + until(12_000)(ms)
    expect(await drained(two, short)).toEqual({
      kind: 'serving',
      perSecond: expect.closeTo(1 / 6) as number,
      seconds: 12,
    })
  })

  test('ends after 10 s without an answer of its sidecars, even if they answered before', async () => {
    expect(await drained(() => undefined)).toEqual({ kind: 'unknown' })
    expect([clock.time, notes.at(-1)]).toEqual([
      10_000,
      'could not confirm within 10 s that the canary drained: its sidecars do not answer',
    ])
    clock = new FakeClock()
    expect(await drained((ms) => (ms <= 20_000 ? 5 : undefined))).toEqual({ kind: 'unknown' })
    expect(clock.time).toBe(30_000)
  })

  test('does not treat a missing answer as no requests', async () => {
    expect(await drained((ms) => (ms % 1_000 === 0 ? undefined : ms < 5_000 ? 5 : 0))).toEqual({
      kind: 'drained',
      secondsToSafe: 4.5,
    })
  })

  test('ends when the run is over', async () => {
    expect(await drained(() => 5, { isOver: () => clock.time >= 3_000 })).toEqual({ kind: 'stopped' })
    expect([clock.time, notes.at(-1)]).toEqual([
      3_000,
      'could not confirm within 3 s that the canary drained: the run does not wait any longer',
    ])
  })

  test.each([2, 5, 20])(
    'mistakes random traffic of %d requests a second for drained in at most one of a hundred cases',
    async (perSecond) => {
      const random = randomFrom(11)
      /** A sample of half a second has a request with the probability of this rate. */
      const sample = () => (random() < 1 - Math.exp(-perSecond / 2) ? 1 : 0)
      let mistakes = 0
      for (let i = 0; i < 300; i++) {
        clock = new FakeClock()
        if ((await drained(sample, { perSecond })).kind === 'drained') mistakes++
      }
      expect(mistakes).toBeLessThanOrEqual(3)
    },
  )

  test('is as long as the pauses of a canary with one request a second may be', async () => {
    expect(await drained(() => 0, { perSecond: 1 })).toEqual({ kind: 'drained', secondsToSafe: 0 })
    expect([clock.time, notes]).toEqual([
      9_000,
      ['the canary is drained: no request to it ended in the 9.0 s that this run watched it'],
    ])
  })

  test('takes 9.5 s if nobody knows the rate, so that a request every 1.5 s is seen', async () => {
    expect(await drained((ms) => (ms % 1_500 === 0 ? 1 : 0), { perSecond: 0 })).toMatchObject({ kind: 'serving' })
    clock = new FakeClock()
    await drained(() => 0, { perSecond: 0 })
    expect(clock.time).toBe(9_500)
  })

  test('claims no last request, and no safety, of a canary without any traffic', async () => {
    expect(await drained(() => 0, { perSecond: 0 })).toEqual({ kind: 'drained' })
    expect(notes.join()).toContain('none was seen before either, so nothing shows that the proxies follow')
  })
})
