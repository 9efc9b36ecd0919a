import { describe, expect, test } from 'vitest'
import { waitForEndpoints } from '../../../../src/canary/workload/endpoint-slices.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { EndpointSlice, Pod, Workload } from '../../../../src/cluster/objects.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith, pod, split, splitOfServices } from '../../fixtures.ts'

const labels = { app: 'backend', version: 'v1' }
const stable: Workload = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'backend', namespace: 'shop' },
  spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [] } } },
}

const uidOf = (name: string) => `uid-of-${name}`
const podOf = (name: string, more: Partial<Pod['metadata']> = {}) =>
  pod({ metadata: { name, uid: uidOf(name), labels, ...more } })
const unready = pod({ metadata: { name: 'new', uid: uidOf('new'), labels }, status: { conditions: [] } })
const endpoint = (name: string, uid = uidOf(name)) => ({
  conditions: { ready: true },
  targetRef: { kind: 'Pod', name, uid },
})
const sliceOf = (...names: string[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'backend-x' },
  addressType: 'IPv4',
  endpoints: names.map((name) => endpoint(name)),
})

/** Waits up to 10 s in a cluster that is `late` at first, and from the third second on has these slices. */
async function wait(pods: Pod[], slices: EndpointSlice[], late: EndpointSlice[] = slices, of: Split = split) {
  const clock = new FakeClock()
  const notes: string[] = []
  const asked: unknown[] = []
  const cluster = clusterWith({
    list: (kind: string, _namespace: string, query?: unknown) => {
      if (kind === 'Pod') return Promise.resolve(pods)
      asked.push(query)
      return Promise.resolve(clock.now() < 3_000 ? late : slices)
    },
  })
  const { signal } = new AbortController()
  const note = (line: string) => void notes.push(line)
  await waitForEndpoints(cluster, of, stable, { timeoutMs: 10_000, signal, clock, note })
  return { waitedMs: clock.now(), notes, asked }
}

describe('traffic waits', () => {
  const canary = pod({ metadata: { name: 'canary', labels: { app: 'backend', version: 'v2' } } })

  test.each([
    ['not when the slices have the pods', [podOf('new')], [sliceOf('new')], 0],
    ['not for a pod that is not ready', [podOf('old'), unready], [sliceOf('old')], 0],
    ['not for a pod of another Deployment', [podOf('new'), canary], [sliceOf('new')], 0],
    ['until a ready pod is in a slice', [podOf('new')], [sliceOf()], 3_000],
    ['until a pod that does not exist any more is in none', [podOf('new')], [sliceOf('new'), sliceOf('old')], 3_000],
    [
      'until a pod that ends is in none',
      [podOf('new'), podOf('old', { deletionTimestamp: '2026-11-30T00:00:00Z' })],
      [sliceOf('new', 'old')],
      3_000,
    ],
  ])('%s', async (_, pods, late, waitedMs) => {
    expect(await wait(pods, [sliceOf(pods[0]!.metadata.name)], late)).toMatchObject({ waitedMs, notes: [] })
  })

  test.each([
    ['is not ready', { ready: false }],
    ['ends, which a Service may still call ready', { ready: true, terminating: true }],
  ])('not for an endpoint that %s', async (_, conditions) => {
    const slice = { ...sliceOf('new'), endpoints: [endpoint('new'), { ...endpoint('old'), conditions }] }
    expect(await wait([podOf('new')], [slice])).toMatchObject({ waitedMs: 0 })
  })

  test('until a pod that was created again under its name is in a slice', async () => {
    const former = { ...sliceOf(), endpoints: [endpoint('new', 'former')] }
    expect(await wait([podOf('new')], [sliceOf('new')], [former])).toMatchObject({ waitedMs: 3_000 })
  })

  test('until the slices of both families of addresses have it', async () => {
    const ipv6 = (...names: string[]) => ({ ...sliceOf(...names), addressType: 'IPv6' })
    expect(await wait([podOf('new')], [sliceOf('new'), ipv6('new')], [sliceOf('new'), ipv6()])).toMatchObject({
      waitedMs: 3_000,
    })
  })

  test.each([
    ['the root Service', split, 'backend'],
    ['the Service of stable', splitOfServices, 'backend-v1'],
  ])('for %s', async (_, of, name) => {
    const { asked } = await wait([podOf('new')], [sliceOf('new')], [sliceOf('new')], of)
    const ours = 'endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io'
    expect(asked).toEqual([{ labelSelector: `kubernetes.io/service-name=${name},${ours}` }])
  })

  test('no longer than its time, and then not at all: the pod is named', async () => {
    await expect(wait([podOf('new')], [sliceOf()])).rejects.toThrow(
      'the ready pod new is not in the EndpointSlices of the Service shop/backend after 10 s; see whether kube-controller-manager runs',
    )
    await expect(wait([podOf('new')], [sliceOf('new', 'old')])).rejects.toThrow(
      'the pod old, which has gone, is still in',
    )
  })

  test('not where the slices cannot be read, and says so', async () => {
    const clock = new FakeClock()
    const notes: string[] = []
    const list = (kind: string) =>
      kind === 'Pod' ? Promise.resolve([podOf('new')]) : Promise.reject(new ApiError(403, 'not for you'))
    const { signal } = new AbortController()
    const note = (line: string) => void notes.push(line)
    await waitForEndpoints(clusterWith({ list }), split, stable, { timeoutMs: 10_000, signal, clock, note })
    expect(clock.now()).toBe(0)
    expect(notes).toEqual([
      'this run sees no EndpointSlices of the Service shop/backend (its account may not list them, or there are none), so callers may not know the new pods yet',
    ])
  })
})
