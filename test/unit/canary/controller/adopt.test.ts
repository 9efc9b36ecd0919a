import { beforeEach, describe, expect, test, vi } from 'vitest'
import { adopt } from '../../../../src/canary/controller/adopt.ts'
import type { Split } from '../../../../src/canary/traffic/router.ts'
import { ApiError, type PatchOperation } from '../../../../src/cluster/client.ts'
import type { HorizontalPodAutoscaler, Pod, VirtualService, Workload } from '../../../../src/cluster/objects.ts'
import { clusterWith, pod, to, virtualService } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

// Nothing here is waited for: what takes time is told by the fake at once. The rollout itself is seen in test/e2e/traffic.test.ts.
vi.mock('node:timers/promises', () => ({ setTimeout: () => Promise.resolve() }))

const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
const groups = { stable: { app: 'backend', version: 'v1' }, canary: { app: 'backend', version: 'v2' } }

function deployment(
  version: string,
  more: Partial<Workload['spec']> = {},
  annotations?: Record<string, string>,
): Workload {
  const labels = { app: 'backend', version }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: `backend-${version}`, namespace: 'shop', generation: 1 },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, ...(annotations ? { annotations } : {}) },
        spec: { containers: [{ name: 'app', image: `app:${version}` }] },
      },
      ...more,
    },
  }
}

type Kept = {
  deployments: Workload[]
  pods: Pod[]
  scalers: HorizontalPodAutoscaler[]
  route: VirtualService
  rollsOut: boolean
}
let kept: Kept
let said: string[]

/** An API server with these objects, in which a rollout is through at once, or never. */
function world(parts: Partial<Kept> = {}) {
  kept = {
    deployments: [deployment('v1'), deployment('v2')],
    pods: [],
    scalers: [],
    route: virtualService([{ route: [to('v1', 0), to('v2', 100)] }]),
    rollsOut: true,
    ...parts,
  }
  const change = (name: string, to: (each: Workload) => Workload) => {
    kept.deployments = kept.deployments.map((each) => (each.metadata.name === name ? to(each) : each))
    return kept.deployments.find(({ metadata }) => metadata.name === name)
  }
  const events: string[] = []
  const cluster = clusterWith({
    list: (kind: string) => {
      if (kind === 'HorizontalPodAutoscaler' && kept.scalers.length === 0)
        return Promise.reject(new ApiError(403, 'not for you'))
      return Promise.resolve(
        {
          Deployment: kept.deployments,
          Pod: kept.pods,
          HorizontalPodAutoscaler: kept.scalers,
          VirtualService: [kept.route],
        }[kind] ?? [],
      )
    },
    get: (_kind: string, _namespace: string, name: string) => {
      const found = kept.deployments.find(({ metadata }) => metadata.name === name)!
      const { replicas = 1 } = found.spec
      return Promise.resolve({
        ...found,
        status: {
          observedGeneration: 1,
          replicas,
          updatedReplicas: kept.rollsOut ? replicas : 0,
          availableReplicas: replicas,
        },
      })
    },
    patch: (kind: string, _namespace: string, name: string, operations: PatchOperation[]) => {
      events.push(`${kind} ${name}`)
      if (kind === 'VirtualService') return Promise.resolve((kept.route = patched(kept.route, operations)))
      return Promise.resolve(change(name, (each) => patched(each, operations)))
    },
    merge: (_kind: string, _namespace: string, name: string, body: { spec: object }) => {
      events.push(`${name} ${JSON.stringify(body.spec)}`)
      return Promise.resolve(change(name, (each) => ({ ...each, spec: { ...each.spec, ...body.spec } })))
    },
  })
  const run = (quiet = true, signal = new AbortController().signal) =>
    adopt(cluster, split, groups, {
      note: (line) => said.push(line),
      signal,
      timeoutMs: 0,
      quiet: () => Promise.resolve(events.push('quiet?') > 0 && quiet),
    })
  return {
    run,
    events,
    stable: () => kept.deployments.find(({ metadata }) => metadata.name === 'backend-v1')!,
    weights: () => kept.route.spec.http![0]!.route!.map(({ weight }) => weight),
  }
}

beforeEach(() => void (said = []))

describe('stable takes over', () => {
  test('the template first, then the traffic, and the canary rests once it is quiet', async () => {
    const { run, events, weights } = world()
    await run()
    expect(events).toEqual(['Deployment backend-v1', 'VirtualService backend', 'quiet?', 'backend-v2 {"replicas":0}'])
    expect(weights()).toEqual([100, 0])
  })

  test("with the canary's containers and annotations, its own labels, and without the stamp of a restart", async () => {
    const { run, stable } = world({
      deployments: [
        deployment('v1', {}, { old: '1' }),
        deployment('v2', {}, { 'checksum/config': 'abc', 'kubectl.kubernetes.io/restartedAt': '2026-11-01T00:00:00Z' }),
      ],
    })
    await run()
    expect(stable().spec.template).toEqual({
      metadata: { labels: groups.stable, annotations: { 'checksum/config': 'abc' } },
      spec: { containers: [{ name: 'app', image: 'app:v2' }] },
    })
    expect(stable().spec.selector).toEqual({ matchLabels: groups.stable })
  })

  test.each([
    [0, 2, 2],
    [2, 5, 5],
    [5, 2, 5],
  ])(
    'with %i replicas beside the %i of the canary it has %i, so that it can carry the traffic',
    async (own, ofCanary, expected) => {
      const { run, stable } = world({
        deployments: [deployment('v1', { replicas: own }), deployment('v2', { replicas: ofCanary })],
      })
      await run()
      expect(stable().spec.replicas).toBe(expected)
    },
  )

  test('the canary goes on while somebody calls it', async () => {
    const { run, events } = world()
    await run(false)
    expect(events).not.toContain('backend-v2 {"replicas":0}')
    expect(said.at(-1)).toBe(
      'Deployment/backend-v2 keeps running, for it was not seen to be quiet; scale it to 0 when it is',
    )
  })

  test('an autoscaler of the canary is told of', async () => {
    const scaler = (name: string): HorizontalPodAutoscaler => ({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name },
      spec: { scaleTargetRef: { kind: 'Deployment', name }, minReplicas: 3 },
    })
    await world({ scalers: [scaler('backend-v1'), scaler('backend-v2')] }).run()
    expect(said.at(-1)).toBe(
      'Deployment/backend-v2 is scaled to 0; its HorizontalPodAutoscaler backend-v2 rests with it, and goes on once it is scaled to 3 or more',
    )
  })
})

describe('stable cannot take over', () => {
  const before = deployment('v1', { replicas: 1 })

  test.each<[string, Partial<Kept>, string]>([
    ['its rollout does not get through', { rollsOut: false }, 'its new pods do not exist yet'],
    [
      'its pods come without a sidecar',
      { pods: [pod({ metadata: { labels: groups.stable }, spec: { initContainers: [] } })] },
      'its pod backend-1 has no sidecar',
    ],
  ])('when %s: it is as before, and the traffic stays', async (_, parts, why) => {
    const { run, stable, weights, events } = world({ deployments: [before, deployment('v2')], ...parts })
    await expect(run()).rejects.toThrow(
      new RegExp(
        `^Deployment/backend-v1 could not take over from Deployment/backend-v2: .*${why}.*; it has its old template again, and the traffic stays on the canary$`,
      ),
    )
    expect(stable()).toEqual(before)
    expect(weights()).toEqual([0, 100])
    expect(events).toEqual(['Deployment backend-v1', 'Deployment backend-v1'])
  })

  test('when the run is cancelled: the same', async () => {
    const { run, stable } = world({ deployments: [before, deployment('v2')], rollsOut: false })
    await expect(run(true, AbortSignal.abort())).rejects.toThrow('the run was cancelled; it has its old template again')
    expect(stable()).toEqual(before)
  })

  test.each<[string, Workload[], string]>([
    [
      'there is no Deployment of it',
      [deployment('v2')],
      'after: adopt needs one Deployment of the stable pods, and no Deployment in shop makes pods with app=backend,version=v1',
    ],
    [
      'there are two',
      [before, { ...before, metadata: { name: 'other' } }, deployment('v2')],
      'several Deployments (backend-v1, other) in shop',
    ],
    ['there is none of the canary', [before], 'after: adopt needs one Deployment of the canary pods'],
  ])('when %s: nothing is touched', async (_, deployments, told) => {
    const { run, events } = world({ deployments })
    await expect(run()).rejects.toThrow(told)
    expect(events).toEqual([])
  })
})
