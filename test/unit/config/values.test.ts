import { expect, test } from 'vitest'
import { duration, parseDuration, responseTime } from '../../../src/config/values/durations.ts'
import { workloads } from '../../../src/config/values/kubernetes.ts'
import { weightSteps } from '../../../src/config/values/lists.ts'
import { fraction, wholeNumber } from '../../../src/config/values/numbers.ts'

test.each<[unknown, number | undefined]>([
  ['500ms', 500],
  ['30s', 30_000],
  ['1.5s', 1_500],
  ['1m30s', 90_000],
  ['1h', 3_600_000],
  [' 2s ', 2_000],
  ['1.001s', 1_001],
  ['2.6ms', 3],
  ['0.4ms', 0],
  ['30', undefined],
  [30, undefined],
  ['s', undefined],
  ['1m 30s', undefined],
  ['-1s', undefined],
  ['', undefined],
])('the duration %j is %j ms', (raw, ms) => {
  expect(parseDuration(raw)).toBe(ms)
})

test('a duration that rounds to zero milliseconds is rejected', () => {
  expect(duration.safeParse('0.4ms').success).toBe(false)
})

test('a duration can be 600 hours, but one response takes no more than 24', () => {
  expect(duration.safeParse('600h').data).toBe(600 * 3_600_000)
  expect(duration.safeParse(`${'9'.repeat(400)}h`).success).toBe(false)
  expect(responseTime.safeParse('24h').success).toBe(true)
  expect(responseTime.safeParse('600h').success).toBe(false)
})

test('a name that every object inherits is no kind of workload', () => {
  expect(workloads.safeParse('constructor/backend').success).toBe(false)
})

test.each<[unknown, number | undefined]>([
  ['99%', 0.99],
  ['0.5 %', 0.005],
  ['0%', undefined],
  ['100%', undefined],
  [0.99, undefined],
  ['.5%', undefined],
])('the percentage %j is the fraction %j', (raw, expected) => {
  expect(fraction.safeParse(raw).data).toBe(expected)
})

test.each<[unknown, number[] | undefined]>([
  ['5, 25, 50, 100', [5, 25, 50, 100]],
  ['10\n20', [10, 20]],
  [30, [30]],
  [
    ['5', 10],
    [5, 10],
  ],
  ['5, 5', undefined],
  ['5, x', undefined],
  ['', undefined],
  [[], undefined],
])('the steps %j are the weights %j', (raw, weights) => {
  expect(weightSteps.safeParse(raw).data).toEqual(weights)
})

test.each<[unknown, number | undefined]>([
  [0, 0],
  ['7', 7],
  [10, 10],
  [11, undefined],
  ['1e1', undefined],
  [true, undefined],
])('%j is the whole number %j from 0 to 10', (raw, value) => {
  expect(wholeNumber(0, 10).safeParse(raw).data).toBe(value)
})

test.each<[unknown, unknown]>([
  ['all', 'all'],
  [
    'deployment/a, StatefulSet/b',
    [
      { kind: 'Deployment', name: 'a' },
      { kind: 'StatefulSet', name: 'b' },
    ],
  ],
  [['ds/agent'], [{ kind: 'DaemonSet', name: 'agent' }]],
  ['deploy/a/b', undefined],
  ['pod/a', undefined],
  ['deploy/', undefined],
  ['deploy/A_b', undefined],
])('the workloads %j are %j', (raw, parsed) => {
  expect(workloads.safeParse(raw).data).toEqual(parsed)
})
