import { expect, test } from 'vitest'
import type { KubeObject, Service } from '../../../../src/cluster/objects.ts'
import { emptySplits } from '../../../../src/policies/weights/empty-splits.ts'
import type { PlannedChange } from '../../../../src/policies/plan.ts'
import { pod, to, virtualService } from '../../fixtures.ts'
import { policy, subsets } from '../recording-cluster.ts'

const service = (selector: Record<string, string>): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector, ports: [{ port: 80 }] },
})
const of = (version: string) => pod({ metadata: { name: version, labels: { app: 'backend', version } } })
const rule = policy('DestinationRule', 'backend', { host: 'backend', subsets: subsets('v1', 'v2') })
const route = (v2: number) => virtualService([{ route: [to('v1', 100 - v2), to('v2', v2)] }])
const change = (object: KubeObject, before?: KubeObject): PlannedChange => ({
  action: before ? 'change' : 'create',
  object,
  ...(before ? { before } : {}),
  diff: [],
})
const faults = (planned: PlannedChange[], pods = [of('v1')], selector: Record<string, string> = { app: 'backend' }) =>
  emptySplits([change(rule), ...planned], { name: 'shop', services: [service(selector)], pods })

test.each<[string, string[]]>([
  ['a subset without pods with the weight 0', faults([change(route(0))])],
  ['two subsets with pods', faults([change(route(20))], [of('v1'), of('v2')])],
  ['an application that is not deployed yet', faults([change(route(20))], [])],
  ['a subset that gets requests already', faults([change(route(30), route(20))])],
])('a run may write routes to %s', (_, found) => {
  expect(found).toEqual([])
})

test('a run may not begin to send requests to a subset without pods', () => {
  const sentence =
    'policies: the VirtualService shop/backend would send requests to the subset v2, and no pod behind the Service ' +
    'shop/backend has its labels (version=v2): they would get a 503'
  expect(faults([change(route(20))])).toEqual([expect.stringContaining(sentence)])
  expect(faults([change(route(20), route(0))])).toEqual([expect.stringContaining(sentence)])
  const both = [of('v1'), of('v2')]
  expect(faults([change(route(20))], both, { app: 'backend', version: 'v1' })).toEqual([
    expect.stringContaining(sentence),
  ])
})
