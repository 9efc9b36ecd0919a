import { expect, test } from 'vitest'
import type { Container, Quantities } from '../../../src/cluster/objects.ts'
import { quotaFault, type ResourceQuota } from '../../../src/release/quota.ts'
import { pod } from '../fixtures.ts'

const quota = (hard: Quantities, used: Quantities, spec: object = {}): ResourceQuota => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'team', namespace: 'shop' },
  spec,
  status: { hard, used },
})
const container = (name: string, requests: Quantities, more: Partial<Container> = {}): Container => ({
  name,
  resources: { requests, limits: { memory: '1Gi' } },
  ...more,
})
const template = { spec: { containers: [container('app', { cpu: '100m', memory: '200Mi' })] } }
/** With the sidecar that the injector adds. */
const running = pod({
  spec: {
    containers: [container('app', { cpu: '100m', memory: '200Mi' })],
    initContainers: [
      container('istio-init', { cpu: '2' }),
      container('istio-proxy', { cpu: '50m', memory: '100Mi' }, { restartPolicy: 'Always' }),
    ],
  },
})
const fault = (each: ResourceQuota, replicas = 2) => quotaFault([each], template, running, replicas)

test.each([
  ['the pods fit', quota({ pods: '4' }, { pods: '2' })],
  [
    'the requests fit with the sidecars',
    quota({ 'requests.cpu': '600m', memory: '800Mi' }, { 'requests.cpu': '300m', memory: '200Mi' }),
  ],
  ['it is for other kinds', quota({ 'count/secrets': '1' }, { 'count/secrets': '1' })],
  ['it is for some pods only', quota({ pods: '2' }, { pods: '2' }, { scopes: ['BestEffort'] })],
])('a quota is no obstacle if %s', (_, each) => {
  expect(fault(each)).toBeUndefined()
})

test.each([
  [
    'pods',
    quota({ pods: '3' }, { pods: '2' }),
    'allows pods 3, of which 2 is used, and the 2 pods of the canary would need 2 more',
  ],
  ['CPU', quota({ cpu: '500m' }, { cpu: '300m' }), 'would need 0.3 more'],
  ['memory', quota({ 'requests.memory': '1Gi' }, { 'requests.memory': '500Mi' }), 'would need 600Mi more'],
  ['limits', quota({ 'limits.memory': '5Gi' }, { 'limits.memory': '2Gi' }), 'would need 4096Mi more'],
])('a quota without room for the %s is named with what is missing', (_, each, message) => {
  expect(fault(each)).toMatch(/^the ResourceQuota team allows /)
  expect(fault(each)).toContain(message)
})
