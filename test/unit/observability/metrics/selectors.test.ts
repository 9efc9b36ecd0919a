// The labels and the namespace that make Prometheus select a monitor: each answer is held against the selector itself.
import { describe, expect, test } from 'vitest'
import { labelsFor, placeFor, selects, type LabelSelector } from '../../../../src/observability/metrics/selectors.ts'

const own = { 'app.kubernetes.io/managed-by': 'mesh-canary' }

test.each<[string, LabelSelector]>([
  ['everything', {}],
  ['a label', { matchLabels: { release: 'main' } }],
  ['one of several values', { matchExpressions: [{ key: 'release', operator: 'In', values: ['a', 'b'] }] }],
  ['any value', { matchExpressions: [{ key: 'release', operator: 'Exists' }] }],
  ['no such label', { matchExpressions: [{ key: 'ignore', operator: 'DoesNotExist' }] }],
  ['other values', { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['a'] }] }],
  [
    'a label twice',
    { matchLabels: { release: 'b' }, matchExpressions: [{ key: 'release', operator: 'In', values: ['a', 'b'] }] },
  ],
])('labels for a selector of %s', (_name, selector) => {
  const labels = labelsFor(selector, own)
  expect(labels).toMatchObject(own)
  expect(selects(selector, labels!)).toBe(true)
})

test.each<[string, LabelSelector]>([
  ['another manager', { matchLabels: { 'app.kubernetes.io/managed-by': 'Helm' } }],
  ['no manager', { matchExpressions: [{ key: 'app.kubernetes.io/managed-by', operator: 'DoesNotExist' }] }],
  ['a contradiction', { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'a', operator: 'NotIn', values: ['b'] }] }],
])('no labels meet a selector of %s', (_name, selector) => {
  expect(labelsFor(selector, own)).toBeUndefined()
})

describe('the place of a monitor', () => {
  const namespaces = [
    { name: 'shop', labels: {} },
    { name: 'monitoring', labels: { monitored: 'yes' } },
  ]

  test('is the namespace of Prometheus if it has no selector for namespaces', () => {
    expect(placeFor(undefined, 'monitoring', namespaces)).toBe('monitoring')
  })

  test('is the first namespace that is selected', () => {
    expect(placeFor({}, 'monitoring', namespaces)).toBe('shop')
    expect(placeFor({ matchLabels: { monitored: 'yes' } }, 'x', namespaces)).toBe('monitoring')
    expect(placeFor({ matchLabels: { 'kubernetes.io/metadata.name': 'shop' } }, 'x', namespaces)).toBe('shop')
  })

  test('does not exist if none is selected', () => {
    expect(placeFor({ matchLabels: { monitored: 'no' } }, 'x', namespaces)).toBeUndefined()
  })
})
