import { expect, test } from 'vitest'
import { serviceFaults } from '../../../../src/canary/workload/service-faults.ts'
import type { Service } from '../../../../src/cluster/objects.ts'
import { planOf } from '../../fixtures.ts'

const service = (port: object, more: object = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector: { app: 'backend' }, ports: [{ port: 3306, ...port }], ...more },
})
const faults = (object: Service, plan = '', atGateway = false) => serviceFaults(object, planOf(plan), atGateway)
const byService = 'stable: { service: a }, canary: { service: b }'
const headless = service({ name: 'http' }, { clusterIP: 'None' })

test.each<[string, string[]]>([
  ['an HTTP port', faults(service({ name: 'http-api' }))],
  ['a gRPC port by its appProtocol', faults(service({ name: 'api', appProtocol: 'grpc' }))],
  ['a port without a protocol, which Istio detects', faults(service({ name: 'api' }))],
  [
    'one HTTP port among others',
    faults(
      service(
        {},
        {
          ports: [
            { port: 1, name: 'tcp' },
            { port: 2, name: 'http' },
          ],
        },
      ),
    ),
  ],
  ['a TCP port, if no step needs requests', faults(service({ name: 'tcp' }), 'checks: { minRequests: 0 }')],
  ['a TCP port, if other counters are read', faults(service({ name: 'tcp' }), 'metrics: { requests: opened_total }')],
  ['no address, but a gateway as its caller', faults(headless, '', true)],
  ['no address, but versions with Services of their own', faults(headless, byService)],
])('a promotion accepts a Service with %s', (_, found) => {
  expect(found).toEqual([])
})

test.each<[string, string[], string]>([
  [
    'a database port',
    faults(service({ name: 'mysql' })),
    'no port of the Service shop/backend carries HTTP (3306 mysql)',
  ],
  ['TCP by its appProtocol', faults(service({ name: 'http', appProtocol: 'tcp' })), 'carries HTTP (3306 tcp)'],
  ['TLS that the mesh does not open', faults(service({ name: 'https' })), 'carries HTTP (3306 https)'],
  ['no address of its own', faults(headless), 'the Service shop/backend is headless: its callers choose a pod'],
])('a promotion refuses a Service with %s', (_, found, message) => {
  expect(found).toEqual([expect.stringContaining(message)])
})
