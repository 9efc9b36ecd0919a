// What the sidecars' counters say of the users, of the fault, and of the mesh's work.
import { describe, expect, test } from 'vitest'
import { countMeshWork } from '../../../src/experiments/metrics/mesh-work.ts'
import { countFaultedCalls, countRefusals, countUsers, parseDenials } from '../../../src/experiments/metrics/users.ts'
import type { ExperimentConfig } from '../../../src/config/schema.ts'
import type { Reading } from '../../../src/envoy/counters.ts'
import { pod } from '../fixtures.ts'

const names = { requests: 'istio_requests_total', duration: 'istio_request_duration_milliseconds' }
const host = 'backend.shop.svc.cluster.local'

type Labels = { reporter?: string; to?: string; code?: number; flags?: string }
const series = ({ reporter = 'source', to = host, code = 200, flags = '-' }: Labels) =>
  `istio_requests_total{reporter="${reporter}",destination_service="${to}",response_code="${code}",response_flags="${flags}"}`
const bucket = (le: string, reporter = 'source') =>
  `istio_request_duration_milliseconds_bucket{reporter="${reporter}",destination_service="${host}",le="${le}"}`
const reading = (entries: [string, number][]): Reading => new Map(entries)

const counting = { names, host, refusals: false, namespaces: ['shop'] }

describe('users', () => {
  test('are the calls to the service as their own sidecars counted them, with their times', () => {
    const delta = reading([
      [series({}), 90],
      [series({ code: 503 }), 7],
      [series({ code: 0, flags: 'UC' }), 3],
      [series({ to: 'other.shop.svc.cluster.local' }), 40],
      [series({ reporter: 'destination' }), 40],
      [bucket('10'), 60],
      [bucket('+Inf'), 100],
      [bucket('+Inf', 'destination'), 40],
    ])
    expect(countUsers(delta, counting)).toMatchObject({
      requests: 100,
      failures: 10,
      times: { total: 100, within: { 10: 60 } },
    })
  })

  test('who give up waiting have failed: they got no answer', () => {
    const delta = reading([
      [series({ code: 0, flags: 'DC' }), 90],
      [series({}), 10],
    ])
    expect(countUsers(delta, counting)).toMatchObject({ requests: 100, failures: 90 })
  })

  test('who get an injected error have failed, whatever its status is', () => {
    const delta = reading([
      [series({ code: 429, flags: 'FI' }), 50],
      [series({ code: 429 }), 5],
    ])
    expect(countUsers(delta, counting).failures).toBe(50)
  })

  test('whom a policy refuses count as failed only where the experiment is a partition', () => {
    const delta = reading([[series({ code: 403 }), 5]])
    expect(countUsers(delta, counting).failures).toBe(0)
    expect(countUsers(delta, { ...counting, refusals: true }).failures).toBe(5)
  })
})

test('the pods of the service know which of their callers are not counted', () => {
  const from = (place: string, to = host) =>
    series({ reporter: 'destination', to }).replace('{', `{source_workload_namespace="${place}",`)
  const delta = reading([
    [from('shop'), 50],
    [from('unknown'), 7],
    [from('web'), 3],
    [from('web', 'other.shop.svc.cluster.local'), 90],
  ])
  expect(countUsers(delta, counting)).toMatchObject({ requests: 0, origins: { tries: 60, withoutSidecar: 10 } })
})

describe('the fault shows itself', () => {
  test.each([
    ['delay', 'DI'],
    ['abort', 'FI'],
    ['overload', 'UO'],
  ])('as %s by the flag %s', (kind, flags) => {
    const delta = reading([
      [series({ flags }), 4],
      [series({ flags: `UR,${flags}` }), 1],
      [series({}), 15],
    ])
    const inject = { [kind]: {} } as ExperimentConfig['inject']
    expect(countFaultedCalls(delta, names, host, inject)).toEqual({ calls: 20, faulted: 5 })
  })

  test('as a partition by what the sidecars of the workload refuse', () => {
    const text = [
      'envoy_tcp{authz_enforce_result="denied",tcp_prefix="rbac"} 2',
      'envoy_http_rbac{authz_enforce_result="denied",http_conn_manager_prefix="inbound_0.0.0.0_3001"} 3',
      'envoy_http_rbac{authz_enforce_result="allowed",http_conn_manager_prefix="inbound_0.0.0.0_3001"} 9',
      'envoy_http_rbac{authz_dry_run_action="allow",authz_dry_run_result="denied",http_conn_manager_prefix="inbound_0.0.0.0_3001"} 9',
      'envoy_tcp{tcp_prefix="other"} 9',
      '',
    ].join('\n')
    const delta = reading([
      ...parseDenials(text),
      [series({ reporter: 'destination', code: 403 }), 3],
      [series({ reporter: 'destination' }), 5],
    ])
    // Eight requests, of which three were refused, and two connections.
    expect(countRefusals(delta, names)).toEqual({ calls: 10, faulted: 5 })
  })

  test("but not by the application's own 403", () => {
    const delta = reading([[series({ reporter: 'destination', code: 403 }), 1]])
    expect(countRefusals(delta, names)).toEqual({ calls: 1, faulted: 0 })
  })
})

describe("the mesh's work", () => {
  const cluster = (counter: string) => `envoy_cluster_${counter}{cluster_name="outbound|3001||${host}"}`
  const work = (...deltas: Reading[]) =>
    countMeshWork(
      deltas.map((delta) => ({ pod: pod(), reading: new Map([called, ...delta]), delta })),
      names,
      [{ service: 'backend', host }],
    )
  const called: [string, number] = [series({}), 10]

  test('is the sum of what all callers publish', () => {
    const publishing = reading([
      called,
      [cluster('upstream_rq_retry'), 4],
      [cluster('upstream_rq_retry_success'), 3],
      [cluster('upstream_rq_timeout'), 1],
      [cluster('upstream_rq_per_try_timeout'), 2],
    ])
    const counts = work(publishing, publishing)
    expect(counts.retries).toMatchObject({ count: 8, isComplete: true })
    expect(counts.retrySuccesses).toMatchObject({ count: 6, isComplete: true })
    expect(counts.timeouts).toMatchObject({ count: 6, isComplete: true })
  })

  test('is incomplete if one caller publishes nothing, and then the flags tell the least', () => {
    const silent = reading([called, [series({ code: 504, flags: 'UT' }), 2], [series({ code: 503, flags: 'UO' }), 3]])
    const counts = work(reading([called, [cluster('upstream_rq_retry'), 4]]), silent)
    expect(counts.retries).toMatchObject({ count: 4, isComplete: false })
    expect(counts.timeouts).toMatchObject({ count: 2, isComplete: false })
    expect(counts.overflows).toMatchObject({ count: 3, isComplete: false })
  })

  test('counts between two calls as well, as for a call that is waiting', () => {
    const between = reading([[cluster('outlier_detection_ejections_enforced_total'), 1]])
    expect(work(between).ejections).toMatchObject({ count: 1, isComplete: true })
  })

  test('is unknown without callers', () => {
    expect(countMeshWork([], names, [{ service: 'backend', host }]).retries).toEqual({
      count: 0,
      isComplete: true,
      isPublished: false,
    })
  })
})
