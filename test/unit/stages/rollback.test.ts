import { describe, expect, test, vi } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { HorizontalPodAutoscaler, KubeObject, Pod, VirtualService } from '../../../src/cluster/objects.ts'
import { rollback } from '../../../src/stages/rollback.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { clusterWith, configOf, pod, to, virtualService } from '../fixtures.ts'
import { patched } from '../patched.ts'

// The stage watches a canary whose rate it does not know for almost 10 s.
vi.mock('../../../src/runtime/clock.ts', async (original) => {
  const { FakeClock } = await import('../fake-clock.ts')
  return { ...(await original<object>()), systemClock: new FakeClock() }
})

const podOf = (version: string, ready = true) =>
  pod({
    metadata: { name: version, uid: version, labels: { app: 'backend', version } },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  })

/** `autoscaler`: of stable; `onScale`: what happens when it is read. `refusal`: of a write to it. */
type Situation = {
  weight?: number
  autoscaler?: HorizontalPodAutoscaler
  onScale?: () => void
  refusal?: Error
  signal?: AbortSignal
}

/** Rolls back; returns the weight afterwards, the error, the lines, the warnings, and what was recorded. */
async function rollBack(
  pods: Pod[],
  selector: Record<string, string> = { app: 'backend' },
  canRead = true,
  { weight = 60, autoscaler, onScale, refusal, signal = new AbortController().signal }: Situation = {},
) {
  let route: VirtualService = virtualService([{ route: [to('v1', 100 - weight), to('v2', weight)] }])
  let scaler = autoscaler
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const lines: string[] = []
  const objects: KubeObject[] = [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'backend', namespace: 'shop' },
      ...{ spec: { selector, ports: [{ port: 80 }] } },
    },
  ]
  const cluster = clusterWith({
    get: (kind: string) => Promise.resolve(objects.find((each) => each.kind === kind)),
    list: (kind: string) => {
      if (kind === 'Pod') return canRead ? Promise.resolve(pods) : Promise.reject(new Error('pods is forbidden'))
      if (kind === 'HorizontalPodAutoscaler') onScale?.()
      const found = { VirtualService: [route], HorizontalPodAutoscaler: scaler ? [scaler] : [] }[kind]
      return Promise.resolve(structuredClone(found ?? []))
    },
    patch: (kind: string, __: string, ___: string, operations: never) => {
      if (kind === 'VirtualService') return Promise.resolve((route = patched(route, operations)))
      return refusal ? Promise.reject(refusal) : Promise.resolve((scaler = patched(scaler!, operations)))
    },
    pod: () => Promise.resolve(''),
  })
  const context = {
    config: configOf('namespace: shop\ncanary: { service: backend, progressDeadline: 1s }'),
    cluster,
    host: {
      runName: 'run 7',
      signal,
      info: (line: string) => lines.push(line),
      warning: () => undefined,
    },
    recorder,
  } as unknown as StageContext
  let changed: boolean | undefined
  const error = await rollback(context).then(
    (outcome) => void (changed = outcome.changed),
    (problem: unknown) => (problem as Error).message,
  )
  const { verdict, reason, warnings } = recorder.current()
  return {
    weight: route.spec.http![0]!.route![1]!.weight,
    ...{ error, lines, verdict, reason, warnings, changed, minReplicas: scaler?.spec.minReplicas },
  }
}

test.each<[string, Pod[], Record<string, string> | undefined, string]>([
  [
    'has no pod',
    [podOf('v2')],
    undefined,
    'no ready pod of v1 is behind the Service shop/backend, so every request there would get a 503: scale v1 up',
  ],
  ['has no ready pod', [podOf('v1', false), podOf('v2')], undefined, 'no ready pod of v1 is behind the Service'],
  [
    'is not behind the Service',
    [podOf('v1'), podOf('v2')],
    { app: 'backend', version: 'v2' },
    'the Service shop/backend selects only pods with version=v2, but the subset v1 has the label version=v1',
  ],
])('the stage rollback changes nothing if stable %s, and says what to do', async (_, pods, selector, message) => {
  const { weight, error } = await rollBack(pods, selector)
  expect(weight).toBe(60)
  expect(error).toContain(message)
  expect(error).toContain('then run the stage rollback again: nothing of backend was changed')
})

test('the stage rollback returns the traffic if it cannot read the pods, and says so', async () => {
  const { weight, lines, verdict, error } = await rollBack([podOf('v2')], undefined, false)
  expect(weight).toBe(0)
  // Nobody saw whether the canary still serves.
  expect({ verdict, error }).toMatchObject({ verdict: 'inconclusive', error: expect.stringContaining('v2') as string })
  expect(lines[0]).toBe('cannot check whether v1 of backend serves: pods is forbidden')
})

describe('the stage rollback with an autoscaler that a promotion has raised', () => {
  const serving = [podOf('v1')]
  const autoscaler: HorizontalPodAutoscaler = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: {
      name: 'backend-v1',
      namespace: 'shop',
      annotations: { 'mesh-canary.io/raised-minimum': '{"service":"backend","from":1,"to":4}' },
    },
    spec: { scaleTargetRef: { kind: 'Deployment', name: 'backend-v1' }, minReplicas: 4 },
  }

  test.each([60, 0])('restores it at the weight %i', async (weight) => {
    const { minReplicas, changed, warnings } = await rollBack(serving, undefined, true, { weight, autoscaler })
    expect([minReplicas, changed, warnings]).toEqual([1, true, []])
  })

  test.each([
    [60, 'rolled-back', "the stage rollback set the canary's weight to 0 (backend)"],
    [0, 'skipped', "the canary's weight was 0 already"],
  ])('says what stays when it is cancelled at the weight %i', async (weight, expected, did) => {
    const cancel = new AbortController()
    const onScale = () => cancel.abort()
    const { verdict, reason, warnings, minReplicas } = await rollBack(serving, undefined, true, {
      ...{ weight, autoscaler, onScale, signal: cancel.signal },
    })
    const unrestored =
      'the run was cancelled, so HorizontalPodAutoscaler/backend-v1 keeps minReplicas 4 (before the promotion: 1); ' +
      'the stage `rollback` restores minReplicas'
    expect(minReplicas).toBe(4)
    expect([verdict, reason]).toEqual([expected, `${did}; but ${unrestored}`])
    expect(warnings).toEqual([unrestored])
  })

  test('says what stays when it may not write it', async () => {
    const refusal = new ApiError(403, 'User "ci" cannot patch resource "horizontalpodautoscalers"')
    const { reason, warnings } = await rollBack(serving, undefined, true, { autoscaler, refusal })
    expect(warnings).toEqual([
      expect.stringMatching(
        /^the autoscaler of backend was not restored: HorizontalPodAutoscaler\/backend-v1 keeps minReplicas 4, .*not set 1, .*deliver\.yaml; run the stage `rollback` again$/,
      ),
    ])
    expect(reason).toContain(`; but ${warnings[0]}`)
  })
})

/** Rolls back canaries of two services; returns the weights afterwards, the error, and what was recorded. */
async function rollBackTwo(pods: Pod[], ordersWeight: number, patchOrders?: () => Promise<never>) {
  const routes = new Map(
    Object.entries({ orders: ordersWeight, backend: 60 }).map(([name, weight]) => {
      const object = virtualService([{ route: [to('v1', 100 - weight, name), to('v2', weight, name)] }], { name })
      return [name, { ...object, spec: { ...object.spec, hosts: [name] } }] as [string, VirtualService]
    }),
  )
  const cluster = clusterWith({
    get: (kind: string, namespace: string, name: string) =>
      Promise.resolve(
        kind === 'Service'
          ? { kind, metadata: { name, namespace }, spec: { selector: { app: name }, ports: [{ port: 80 }] } }
          : undefined,
      ),
    list: (kind: string) => {
      const found = { Pod: pods, VirtualService: structuredClone([...routes.values()]) }[kind]
      return Promise.resolve(found ?? [])
    },
    patch: (_: string, __: string, name: string, operations: never) => {
      if (name === 'orders' && patchOrders) return patchOrders()
      const written = patched(routes.get(name)!, operations)
      routes.set(name, written)
      return Promise.resolve(written)
    },
    pod: () => Promise.resolve(''),
  })
  const records: object[] = []
  const context = {
    config: configOf(
      'namespace: shop\ncanaries: [{ service: orders, progressDeadline: 1s }, { service: backend, progressDeadline: 1s }]',
    ),
    cluster,
    host: { runName: 'run 7', info: () => undefined, warning: () => undefined },
    recorder: { record: (each: object) => records.push(each), current: () => ({ warnings: [] }) },
  } as unknown as StageContext
  const error = await rollback(context).then(
    () => undefined,
    (problem: unknown) => (problem as Error).message,
  )
  const weightOf = (name: string) => routes.get(name)!.spec.http![0]!.route![1]!.weight
  return { orders: weightOf('orders'), backend: weightOf('backend'), error, records }
}

const podsOf = (...names: [string, string][]) =>
  names.map(([app, version]) => {
    const each = podOf(version)
    return {
      ...each,
      metadata: { ...each.metadata, name: `${app}-${version}`, uid: `${app}-${version}`, labels: { app, version } },
    }
  })
const withoutStableOrders = podsOf(['orders', 'v2'], ['backend', 'v1'], ['backend', 'v2'])

test('the stage rollback of one canary does not wait for the stable version of another', async () => {
  const { orders, backend, error, records } = await rollBackTwo(withoutStableOrders, 100)
  expect([orders, backend]).toEqual([100, 0])
  expect(error).toMatch(
    /^orders was not rolled back: no ready pod of v1 is behind the Service shop\/orders.*of orders was/,
  )
  expect(error).not.toContain('backend')
  expect(records).toContainEqual({
    verdict: 'inconclusive',
    reason: expect.stringMatching(/weight to 0 \(backend\).*; but orders was not rolled back/) as string,
    returned: ['backend'],
  })
})

test('the stage rollback of one canary does not depend on the writes of another', async () => {
  const pods = podsOf(['orders', 'v1'], ['backend', 'v1'])
  const { backend, error } = await rollBackTwo(pods, 50, () => Promise.reject(new Error('a webhook denied it')))
  expect(backend).toBe(0)
  expect(error).toBe('orders was not rolled back: a webhook denied it')
})

test('the stage rollback does not ask for a stable version to which no traffic would move', async () => {
  const { orders, backend, error } = await rollBackTwo(withoutStableOrders, 0)
  expect([orders, backend, error]).toEqual([0, 0, undefined])
})
