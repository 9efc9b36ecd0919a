import { expect, test } from 'vitest'
import type { PromotionStatus } from '../../../../src/canary/hooks/promotion-status.ts'
import { fillTemplate, runQuery } from '../../../../src/canary/hooks/queries.ts'
import type { PromSample } from '../../../../src/observability/metrics/prometheus-client.ts'

const status: PromotionStatus = {
  namespace: 'shop',
  service: 'backend',
  stable: 'v1',
  canary: 'v2',
  weight: 25,
  step: 2,
  phase: 'Progressing',
  intervalMs: 30_000,
}

const bounded = { query: 'x', failures: 1 }
const returning =
  (...values: number[]) =>
  () =>
    Promise.resolve(values.map((value): PromSample => ({ labels: {}, value })))

test.each<[string, { min?: number; max?: number }, number[], string, string]>([
  ['within its bounds', { min: 1, max: 2 }, [1.5], 'pass', '1.5, expected at least 1 and at most 2'],
  ['on a bound', { max: 2 }, [2], 'pass', '2, expected at most 2'],
  ['below its minimum', { min: 1 }, [0.98765432], 'fail', '0.987654, expected at least 1'],
  ['above its maximum', { max: 2 }, [3], 'fail', '3, expected at most 2'],
  ['that is NaN', { max: 2 }, [NaN], 'undecided', 'the query returned no number'],
  ['that is missing', { max: 2 }, [], 'undecided', 'the query returned no number'],
  [
    'that is one of several',
    { max: 2 },
    [1, 1],
    'undecided',
    'the query returned 2 series; it must return one number, such as a sum()',
  ],
])('a query has the expected result for a number %s', async (_, bounds, values, state, text) => {
  expect(await runQuery(returning(...values), { ...bounded, ...bounds }, status)).toEqual({ state, text })
})

test('a query is undecided when Prometheus does not answer', async () => {
  expect(await runQuery(() => Promise.reject(new Error('down')), { ...bounded, max: 1 }, status)).toEqual({
    state: 'undecided',
    text: 'down',
  })
})

test('a query gets the values of the promotion, and leaves other variables to Prometheus', () => {
  expect(
    fillTemplate(
      'rate(x{ns="$namespace",s=~"$service|$stable|$canary"}[$interval]) * $weight / $weights + "$1"',
      status,
    ),
  ).toBe('rate(x{ns="shop",s=~"backend|v1|v2"}[30s]) * 25 / $weights + "$1"')
  expect(fillTemplate('[$interval]', { ...status, intervalMs: 200 })).toBe('[1s]')
  expect(fillTemplate('x{cluster="$cluster"}', { ...status, cluster: { name: 'eu' } })).toBe('x{cluster="eu"}')
  expect(fillTemplate('x{cluster="$cluster"}', status)).toBe('x{cluster="$cluster"}')
})
