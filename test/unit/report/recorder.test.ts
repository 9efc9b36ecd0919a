import { expect, test } from 'vitest'
import { addToReport, createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'

const empty = () => emptyReport('shop', new Date(0), false)
const cluster = { name: 'shop', kind: '0.33.0', nodes: 0, kubeconfig: '/tmp/kubeconfig', ingress: {}, loaded: [] }

test('lists grow, everything else is replaced', () => {
  const recorder = createRecorder(empty())
  recorder.record({ warnings: ['a'], verdict: 'skipped' })
  recorder.record({ warnings: ['b'], verdict: 'promoted', removed: ['x'] })
  recorder.record({ removed: ['y'] })
  expect(recorder.current()).toMatchObject({ warnings: ['a', 'b'], verdict: 'promoted', removed: ['x', 'y'] })
})

test('what is known of the cluster is added to what was known before', () => {
  const recorder = createRecorder(empty())
  recorder.record({ cluster: { ...cluster, action: 'failed' } })
  recorder.record({ cluster: { nodes: 2 } })
  recorder.record({ cluster: { action: 'created' } })
  expect(recorder.current().cluster).toEqual({ ...cluster, nodes: 2, action: 'created' })
})

test('a list that nobody mentions stays away, and an empty one that somebody records is there', () => {
  expect(addToReport(empty(), { warnings: ['a'] })).not.toHaveProperty('removed')
  expect(addToReport(empty(), { removed: [] })).toHaveProperty('removed', [])
})

test('the report that something is added to stays as it is', () => {
  const before = empty()
  addToReport(before, { warnings: ['a'], seconds: 1 })
  expect(before).toEqual(empty())
})
