import { describe, expect, test } from 'vitest'
import type { PromSample } from '../../../../src/observability/metrics/prometheus-client.ts'
import { counterQuery, prometheusReader } from '../../../../src/canary/metrics/prometheus-counters.ts'
import { pod } from '../../fixtures.ts'

describe("the sidecars' counters in Prometheus", () => {
  const metrics = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
  const pods = [
    pod({ metadata: { name: 'backend-1.a', uid: 'u1' } }),
    pod({ metadata: { name: 'backend-2', uid: 'u2' } }),
  ]
  const sample = (labels: Record<string, string>, value: number): PromSample => ({
    labels: { __name__: 'istio_requests_total', reporter: 'destination', ...labels },
    value,
  })
  /** The readings of the pods, one query after the other. */
  async function read(...answers: PromSample[][]): Promise<Record<string, Record<string, number>>[]> {
    const reader = prometheusReader(() => Promise.resolve(answers.shift()!), metrics, ['backend.shop'])
    const readings = []
    while (answers.length > 0)
      readings.push(
        Object.fromEntries([...(await reader(pods))].map(([id, reading]) => [id, Object.fromEntries(reading)])),
      )
    return readings
  }
  const series = (code: string) => `istio_requests_total{reporter="destination",pod="backend-1.a",code="${code}"}`

  test('are read in one query for all pods', () => {
    expect(counterQuery(metrics, ['backend.shop'], pods)).toBe(
      [
        ...['pod', 'kubernetes_pod_name', 'pod_name', 'k8s_pod_name'].map(
          (label) =>
            `{__name__=~"istio_requests_total|istio_request_duration_milliseconds_bucket",reporter="destination",${label}=~"backend-1\\\\.a|backend-2"}`,
        ),
        '{__name__="istio_requests_total",reporter="source",destination_service=~"backend\\\\.shop"}',
      ].join(' or '),
    )
  })

  test('are sorted by pod, whatever the label is called, and a pod without counters has served nothing', async () => {
    expect(await read([sample({ kubernetes_pod_name: 'backend-2' }, 3)])).toEqual([
      { u1: {}, u2: { 'istio_requests_total{reporter="destination",kubernetes_pod_name="backend-2"}': 3 } },
    ])
  })

  test('exclude pods of the same name in another namespace, and pods that were not requested', async () => {
    expect(await read([sample({ pod: 'backend-2', namespace: 'other' }, 3), sample({ pod: 'frontend' }, 4)])).toEqual([
      { u1: {}, u2: {} },
    ])
    expect((await read([sample({ pod: 'backend-2', namespace: 'shop' }, 3)]))[0]!['u2']).not.toEqual({})
  })

  test('keep their last values while a scrape is missing', async () => {
    const [, missing, back] = await read(
      [sample({ pod: 'backend-1.a', code: '200' }, 90)],
      [],
      [sample({ pod: 'backend-1.a', code: '200' }, 95)],
    )
    expect(missing!['u1']).toEqual({ [series('200')]: 90 })
    expect(back!['u1']).toEqual({ [series('200')]: 95 })
  })

  test('that are missing keep their value, even when another went down: Envoy drops single series', async () => {
    const before = [sample({ pod: 'backend-1.a', code: '200' }, 90), sample({ pod: 'backend-1.a', code: '503' }, 40)]
    const [, after] = await read(before, [sample({ pod: 'backend-1.a', code: '200' }, 2)])
    expect(after!['u1']).toEqual({ [series('200')]: 2, [series('503')]: 40 })
  })

  test('are an error when no label names the pod', async () => {
    await expect(read([sample({ instance: '10.0.0.1' }, 1)])).rejects.toThrow(
      'Prometheus stores istio_requests_total without a label that names the pod; make the scrape config of the sidecars add one of pod, kubernetes_pod_name, pod_name, k8s_pod_name',
    )
  })
})
