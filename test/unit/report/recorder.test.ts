import { expect, test } from 'vitest'
import { addToReport, createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'

const empty = () => emptyReport('shop', new Date(0), false)
const cluster = { name: 'shop', kind: '0.33.0', nodes: 0, kubeconfig: '/tmp/kubeconfig', ingress: {}, loaded: [] }

test('a recorder appends to lists and replaces other values', () => {
  const recorder = createRecorder(empty())
  recorder.record({ warnings: ['a'], verdict: 'skipped' })
  recorder.record({ warnings: ['b'], verdict: 'promoted', removed: ['x'] })
  recorder.record({ removed: ['y'] })
  expect(recorder.current()).toMatchObject({ warnings: ['a', 'b'], verdict: 'promoted', removed: ['x', 'y'] })
})

test('a recorder merges new facts about the cluster into the earlier ones', () => {
  const recorder = createRecorder(empty())
  recorder.record({ cluster: { ...cluster, action: 'failed' } })
  recorder.record({ cluster: { nodes: 2 } })
  recorder.record({ cluster: { action: 'created' } })
  expect(recorder.current().cluster).toEqual({ ...cluster, nodes: 2, action: 'created' })
})

test('a list that nobody recorded is absent, and a recorded empty list is present', () => {
  expect(addToReport(empty(), { warnings: ['a'] })).not.toHaveProperty('removed')
  expect(addToReport(empty(), { removed: [] })).toHaveProperty('removed', [])
})

test('addToReport does not change its input', () => {
  const before = empty()
  addToReport(before, { warnings: ['a'], seconds: 1 })
  expect(before).toEqual(empty())
})
