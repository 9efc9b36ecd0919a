// Why Prometheus lacks the series of a pod.
import { describe, expect, test } from 'vitest'
import type { Kind } from '../../../../src/cluster/objects.ts'
import { systemClock } from '../../../../src/runtime/clock.ts'
import {
  metricsCause,
  seriesCause,
  targetCause,
  unselectedCause,
  type Targets,
} from '../../../../src/verify/telemetry/metrics-cause.ts'
import { clusterWith, configOf, pod } from '../../fixtures.ts'

const own = pod({ status: { podIP: '10.0.0.7' } })
const discovered = { __meta_kubernetes_pod_name: 'backend-1', __meta_kubernetes_namespace: 'shop' }
const active = (more: Partial<Targets['activeTargets'][number]> = {}): Targets['activeTargets'][number] => ({
  discoveredLabels: discovered,
  labels: {},
  scrapePool: 'sidecars',
  scrapeUrl: 'http://10.0.0.7:15020/stats/prometheus',
  health: 'up',
  lastError: '',
  ...more,
})
const targets = (activeTargets: Targets['activeTargets'], dropped: object[] = []): Targets => ({
  activeTargets,
  droppedTargets: dropped.map((labels) => ({ discoveredLabels: { ...labels }, scrapePool: 'sidecars' })),
})

describe('the target of the pod', () => {
  test('is down, for the reason that Prometheus has', () => {
    const down = active({ health: 'down', lastError: 'connection refused' })
    expect(targetCause(targets([down]), own)).toContain(
      'its target http://10.0.0.7:15020/stats/prometheus (job sidecars) is down: connection refused',
    )
  })

  test('is dropped by relabelling', () => {
    expect(targetCause(targets([], [discovered]), own)).toContain('the relabelling rules of the job sidecars drop it')
  })

  test('is found by its address, where Prometheus discovers something else than pods', () => {
    const byAddress = active({ discoveredLabels: { __address__: '10.0.0.7:15090' }, health: 'down', lastError: 'EOF' })
    expect(targetCause(targets([byAddress]), own)).toContain('is down: EOF')
  })

  test('is up, whatever other jobs drop', () => {
    expect(targetCause(targets([active()], [discovered]), own)).toBeUndefined()
  })

  test('is that of the sidecar, and not one of the application', () => {
    const application = active({ scrapePool: 'application', scrapeUrl: 'http://10.0.0.7:8080/metrics' })
    const down = active({ health: 'down', lastError: 'connection refused' })
    expect(targetCause(targets([application, down]), own)).toContain('is down: connection refused')
    expect(targetCause(targets([application], [discovered]), own)).toContain('the job sidecars drop it')
  })

  test('is not dropped by a job that scrapes something else', () => {
    const other = active({
      discoveredLabels: { __meta_kubernetes_pod_name: 'node-1', __meta_kubernetes_namespace: 'monitoring' },
      scrapeUrl: 'http://10.0.0.9:9100/metrics',
    })
    expect(targetCause(targets([other], [discovered]), own)).toBeUndefined()
  })

  test('that is down comes before another that is up', () => {
    expect(targetCause(targets([active(), active({ health: 'down', lastError: 'EOF' })]), own)).toContain('EOF')
  })

  test('is not that of a pod of the same name elsewhere', () => {
    expect(targetCause(targets([], [{ ...discovered, __meta_kubernetes_namespace: 'other' }]), own)).toBeUndefined()
  })
})

test('the series of a target that is up are renamed, dropped, or missing', () => {
  const cause = (numbers: object) => seriesCause(active(), { series: 'istio_requests_total{}', ...numbers })
  expect(cause({ prefixed: 3, kept: 9, scraped: 9 })).toContain('its series are called envoy_istio_requests_total')
  expect(cause({ kept: 5, scraped: 9 })).toContain('keep 5 of its 9 samples, and drop istio_requests_total')
  expect(cause({ kept: 9, scraped: 9 })).toContain('Prometheus lacks istio_requests_total{}')
})

describe('monitors of the operator', () => {
  const monitor = (labels: Record<string, string>, spec: object = {}) => ({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: 'proxies', namespace: 'monitoring', labels },
    spec,
  })
  const server = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'Prometheus',
    metadata: { name: 'main', namespace: 'monitoring' },
    spec: { podMonitorSelector: { matchLabels: { release: 'main' } } },
  }
  const covering = { namespaceSelector: { matchNames: ['shop'] } }

  test('whose labels do not match the selector are named', () => {
    const cause = unselectedCause([monitor({ release: 'other' }, covering)], [server], 'shop')
    expect(cause).toContain('the labels of the PodMonitor monitoring/proxies ({"release":"other"}) do not match')
    expect(cause).toContain('Prometheus monitoring/main ({"matchLabels":{"release":"main"}})')
  })

  test('are named also where the job of another monitor discovers the pod and drops it', async () => {
    const monitors = [monitor({ release: 'other' }, covering)]
    const cluster = clusterWith({
      list: (kind: Kind) => Promise.resolve(kind === 'PodMonitor' ? monitors : [server]),
      service: () => Promise.resolve(JSON.stringify({ status: 'success', data: targets([], [discovered]) })),
    })
    const deps = {
      cluster,
      config: configOf('namespace: shop\nobservability: { metrics: { prometheus: operator } }\n'),
      forward: () => Promise.reject(new Error('forbidden')),
      signal: new AbortController().signal,
      clock: systemClock,
    }
    const prometheus = { service: 'monitoring/prometheus-operated:9090', timeout: 1_000 }
    expect(await metricsCause(deps, prometheus, own, 'istio_requests_total{}')).toContain('do not match')
  })

  test('that match, or are for another namespace, are not at fault', () => {
    expect(unselectedCause([monitor({ release: 'main' }, covering)], [server], 'shop')).toBeUndefined()
    expect(unselectedCause([monitor({ release: 'other' })], [server], 'shop')).toBeUndefined()
  })
})
