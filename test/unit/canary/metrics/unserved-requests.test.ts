import { expect, test } from 'vitest'
import { countUnserved } from '../../../../src/canary/metrics/unserved-requests.ts'
import { planOf } from '../../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'
const count = (labels: string, caller = 'shop') =>
  countUnserved(new Map([[`istio_requests_total{${labels}}`, 7]]), planOf().metrics, [host], caller, {
    canary: ({ destination_version: version }) => version === 'v2',
    stable: ({ destination_version: version }) => version === 'v1',
  })
const call = (flags: string, service = host, version = 'unknown') =>
  `reporter="source",destination_service="${service}",destination_version="${version}",response_code="503",response_flags="${flags}"`

test.each<[string, string]>([
  ['no healthy endpoint', call('UH')],
  ['no route', call('NR')],
  ['no cluster', call('NC')],
  ['no connection to an unknown endpoint', call('UF,URX')],
  ['no route, by the name that the caller used', call('NR', 'backend:3001')],
  ['no cluster, by a longer name', call('NC', 'backend.shop')],
])('a request failed before any version saw it: %s', (_, labels) => {
  expect(count(labels)).toEqual({ requests: 7, violations: 7 })
})

test.each<[string, string]>([
  ['it was answered', call('-')],
  ['the connection to a known version failed', call('UF', host, 'v2')],
  ['the caller stopped waiting', call('UT')],
])('a request counts as a call only: %s', (_, labels) => {
  expect(count(labels)).toEqual({ requests: 7, violations: 0 })
})

test.each<[string, string, string]>([
  ['it went to another service', call('UH', 'web.shop.svc.cluster.local'), 'shop'],
  ['it went to a service of the same name in the namespace of the caller', call('NR', 'backend:3001'), 'web'],
  ['the service itself counted it', call('UH').replace('source', 'destination'), 'shop'],
  ['it names no service', call('NR', 'unknown'), 'shop'],
])('a request does not count: %s', (_, labels, caller) => {
  expect(count(labels, caller)).toEqual({ requests: 0, violations: 0 })
})
