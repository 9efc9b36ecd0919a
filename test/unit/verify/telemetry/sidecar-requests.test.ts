// Which services a sidecar counted calls of.
import { expect, test } from 'vitest'
import { seriesOf } from '../../../../src/envoy/counters.ts'
import { calledServices } from '../../../../src/verify/telemetry/sidecar-requests.ts'

const called = (host: string, name: string, namespace: string) => {
  const labels = {
    reporter: 'source',
    destination_service: host,
    destination_service_name: name,
    destination_service_namespace: namespace,
  }
  return calledServices(new Map([[seriesOf('istio_requests_total', labels), 1]]), 'shop')
}

test('a service of the namespace has its name, and one elsewhere also its namespace', () => {
  expect(called('backend.shop.svc.cluster.local', 'backend', 'shop')).toEqual(['backend'])
  expect(called('backend.shared.svc.cluster.local', 'backend', 'shared')).toEqual(['backend.shared'])
})

test('a call that reached no pod is one of the service that its host names', () => {
  expect(called('backend.shop.svc.cluster.local', 'backend', 'unknown')).toEqual(['backend'])
  expect(called('backend.shared.svc.cluster.local', 'backend', 'unknown')).toEqual(['backend.shared'])
})

test('a host outside the mesh is no namespace', () => {
  expect(called('api.example.com', 'api.example.com', 'unknown')).toEqual(['api.example.com'])
})
