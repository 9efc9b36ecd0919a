// Why spans or logs do not reach their collector.
import { expect, test } from 'vitest'
import type { Kind } from '../../../../src/cluster/objects.ts'
import { systemClock } from '../../../../src/runtime/clock.ts'
import { collectorCause } from '../../../../src/verify/telemetry/collector-cause.ts'
import { clusterWith, configOf, pod } from '../../fixtures.ts'

const config = configOf('namespace: shop\nobservability: { traces: { collector: "monitoring/otel:4317" } }\n')
const provider = config.observability!.traces!.provider
const telemetry = {
  apiVersion: 'telemetry.istio.io/v1',
  kind: 'Telemetry',
  metadata: { name: 'traces', namespace: 'shop' },
  spec: { tracing: [{ providers: [{ name: provider }] }] },
}
const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'otel', namespace: 'monitoring' },
  spec: { ports: [{ name: 'grpc-otlp', port: 4317 }] },
}
const istiod = pod({ metadata: { name: 'istiod-1', namespace: 'istio-system' } })
const line = (time: string) =>
  `${time}\twarn\tmodel\tcould not find cluster for otel.monitoring.svc.cluster.local in the service registry`

test('what istiod said before the first request is not the cause', async () => {
  let log = line('2026-01-05T10:00:00.000000Z')
  const cluster = clusterWith({
    list: (kind: Kind, namespace?: string) => {
      if (kind === 'Telemetry') return Promise.resolve([telemetry])
      return Promise.resolve(kind === 'Pod' && namespace === 'istio-system' ? [istiod] : [])
    },
    get: (kind: Kind) => Promise.resolve(kind === 'Service' ? service : undefined),
    log: () => Promise.resolve(log),
  })
  const forward = () => Promise.reject(new Error('forbidden'))
  const deps = { cluster, config, forward, signal: new AbortController().signal, clock: systemClock }
  const cause = () => collectorCause(deps, 'traces', Date.parse('2026-03-01T12:00:00Z'))
  expect(await cause()).toBeUndefined()
  log += `\n${line('2026-03-01T12:00:01.000000Z')}`
  expect(await cause()).toContain('istiod says: ')
})
