// Where the request of the proof enters the application.
import { expect, test } from 'vitest'
import type { Pod, Service } from '../../../../src/cluster/objects.ts'
import { chooseEntry, type Entry } from '../../../../src/verify/telemetry/entry.ts'
import { configOf, pod, podWithoutSidecar } from '../../fixtures.ts'

const service = (name: string, port = { name: 'http', port: 80, targetPort: 8080 }): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector: { app: name }, ports: [port] },
})
const podOf = (app: string, url = ''): Pod =>
  pod({
    metadata: { name: `${app}-1`, labels: { app } },
    spec: { containers: [{ name: 'app', env: [{ name: 'URL', value: url }] }] },
  })
const services = ['backend', 'frontend', 'stock'].map((name) => service(name))
const pods = [podOf('backend', 'http://stock/'), podOf('frontend', 'http://backend/'), podOf('stock')]
const config = (more = '') => configOf(`namespace: shop\nobservability: {${more}}\n`)
const nameOf = (entry: Entry | string) => (typeof entry === 'string' ? entry : entry.service)

test('the first service of the call chain gets the request, at the port of its container', () => {
  expect(chooseEntry(config(), services, pods)).toMatchObject({ service: 'frontend', port: 8080 })
})

test('an exposed service comes before that', () => {
  const exposed = configOf('namespace: shop\nexpose: { stock: { port: 80, hosts: ["*"] } }\nobservability: {}\n')
  expect(nameOf(chooseEntry(exposed, services, pods))).toBe('stock')
})

test('the service of the config comes before all, and has to be able to answer', () => {
  expect(nameOf(chooseEntry(config(' proof: { service: backend } '), services, pods))).toBe('backend')
  expect(nameOf(chooseEntry(config(' proof: { service: shipping } '), services, pods))).toBe(
    'observability.proof.service: the Service shop/shipping has no port for HTTP with a ready pod that has a sidecar; ' +
      'those that have one are backend, frontend, stock',
  )
})

test('HTTP/1.1 comes before HTTP/2 and gRPC, among the ports of a service and among services', () => {
  const grpc = { name: 'grpc', port: 50051, targetPort: 50051 }
  const both = service('frontend', grpc)
  both.spec.ports.push({ name: 'http', port: 80, targetPort: 8080 })
  expect(chooseEntry(config(), [service('backend'), both], pods)).toMatchObject({ service: 'frontend', port: 8080 })
  const others = [podOf('backend'), podOf('frontend')]
  const entry = chooseEntry(config(), [service('backend', grpc), service('frontend')], others)
  expect(entry).toMatchObject({ service: 'frontend', isHttp2: false })
  expect(chooseEntry(config(), [service('backend', grpc)], others)).toMatchObject({ service: 'backend', isHttp2: true })
})

test('without a port for HTTP, or without a sidecar, no service can take the request', () => {
  const none = 'no Service of shop has a port for HTTP with a ready pod that has a sidecar'
  const tcp = service('backend', { name: 'tcp', port: 80, targetPort: 8080 })
  expect(chooseEntry(config(), [tcp], pods)).toBe(none)
  expect(chooseEntry(config(), services, [podWithoutSidecar])).toBe(none)
})
