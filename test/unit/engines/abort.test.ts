import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { FollowedRollout, RecoveryIntent } from '../../../src/canary/active-promotion.ts'
import { abortRollout } from '../../../src/engines/abort.ts'
import { rolloutProgress } from '../../../src/engines/argo-rollouts.ts'
import { engineOf } from '../../../src/engines/engine.ts'
import type { FlaggerCanary, Rollout } from '../../../src/engines/objects.ts'
import { recoverFollowed, rollBackFollowed } from '../../../src/engines/recovery.ts'
import { messageOf } from '../../../src/runtime/errors.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, configOf } from '../fixtures.ts'
import { backendService, canary, rollout, running, serviceRoutes, subsetRoutes } from './fixtures.ts'
import { argo, clusterOf, followLooks, times } from './followed-objects.ts'

const moving = { phase: 'Progressing', currentPodHash: 'new', stableRS: 'old' }
const split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'stable' },
  canary: { by: 'subset', name: 'canary' },
} as const
const services = {
  ...split,
  stable: { by: 'service', name: 'backend-primary' },
  canary: { by: 'service', name: 'backend-canary' },
} as const

/** A cluster that records what is patched. `onPatch`: what the API server makes of it. */
function patched(objects: readonly KubeObject[], onPatch?: () => void, everywhere: readonly KubeObject[] = []) {
  const patches: unknown[][] = []
  const cluster: Cluster = {
    ...clusterOf(objects, everywhere),
    patch: (...all: unknown[]) => {
      patches.push(all)
      onPatch?.()
      return Promise.resolve({ metadata: {} } as never)
    },
  }
  return { cluster, patches }
}

async function abort(objects: readonly KubeObject[], followed: FollowedRollout) {
  const notes: string[] = []
  const { cluster, patches } = patched(objects)
  const of = followed.type === 'flagger' ? services : split
  const options = { timeoutMs: 2_000, note: (line: string) => notes.push(line), clock: new FakeClock() }
  return { done: await abortRollout(cluster, of, followed, options), patches, notes: notes.join() }
}
const ofArgo = { type: 'argo-rollouts', name: 'backend' } as const
const ofFlagger = { type: 'flagger', name: 'backend' } as const
const argoObjects = (status: Rollout['status'], weight = 20) => [...subsetRoutes(weight), rollout(status)]
const flaggerObjects = (status: FlaggerCanary['status'], target = 'shop:2') => [
  serviceRoutes(0),
  canary(status),
  running('backend', target),
  running('backend-primary', 'shop:1'),
]

describe('an abort of Argo Rollouts', () => {
  test('is refused by the API server once the revision is stable', async () => {
    const { patches } = await abort(argoObjects(moving), { ...ofArgo, revision: 'new' })
    expect(patches[0]?.[3]).toEqual([
      { op: 'test', path: '/status/currentPodHash', value: 'new' },
      { op: 'test', path: '/status/stableRS', value: 'old' },
      { op: 'add', path: '/status/abort', value: true },
    ])
  })

  test('that meets the end of the promotion has rolled nothing back', async () => {
    const both = { phase: 'Degraded', abort: true, currentPodHash: 'new', stableRS: 'new', message: 'RolloutAborted' }
    expect(rolloutProgress(rollout(both), 0).phase).toBe('promoted')
    const { toEnd } = followLooks({
      type: 'argo-rollouts',
      failures: 500,
      looks: [...times(4, argo(moving, 50)), argo(both, 0)],
    })
    expect(await toEnd()).toMatchObject({ verdict: 'inconclusive', engineVerdict: 'promoted' })
  })

  test('waits for a controller that has not seen the last change', async () => {
    const object = rollout(moving)
    const unobserved = { ...object, metadata: { ...object.metadata, generation: 4 } }
    const { done } = await abort([...subsetRoutes(50), unobserved], { ...ofArgo, revision: 'new' })
    expect(done).toBe('pending')
  })

  test('is not said to have succeeded where nobody could read the routes', async () => {
    const cluster = clusterWith({
      get: () => Promise.resolve(rollout({ ...moving, phase: 'Degraded', abort: true })),
      list: () => Promise.reject(new ApiError(503, 'unavailable')),
      patch: () => Promise.resolve({}),
      serves: () => Promise.resolve(true),
    })
    const options = { timeoutMs: 2_000, note: () => undefined, clock: new FakeClock() }
    await expect(abortRollout(cluster, split, { ...ofArgo, revision: 'new' }, options)).rejects.toThrow('unavailable')
  })
})

describe('an abort of Flagger', () => {
  test('of a Canary that has not begun writes nothing, and says so', async () => {
    const { done, patches, notes } = await abort(flaggerObjects({ phase: 'Waiting', lastAppliedSpec: 'old' }), {
      ...ofFlagger,
      from: 'old',
    })
    expect({ done, patches, notes }).toEqual({ done: 'pending', patches: [], notes: '' })
  })

  test('at a gate that has closed in the middle takes the traffic, and is not over', async () => {
    const waiting = { phase: 'Waiting', lastAppliedSpec: 'new', canaryWeight: 20 }
    const [, ...objects] = flaggerObjects(waiting)
    const { done, patches } = await abort([serviceRoutes(20), ...objects], { ...ofFlagger, revision: 'new' })
    expect(done).toBe('open')
    expect([...new Set(patches.map(([kind]) => kind))]).toEqual(['Canary', 'VirtualService'])
    expect(patches[0]?.[3]).toContainEqual({ op: 'test', path: '/status/phase', value: 'Waiting' })
  })

  test('does not take the failure of the revision before for its own', async () => {
    const status = { phase: 'Failed', lastAppliedSpec: 'hash-of-3', lastPromotedSpec: 'hash-of-1' }
    expect((await abort(flaggerObjects(status, 'shop:3'), { ...ofFlagger, from: 'hash-of-2' })).done).toBe('pending')
  })

  test('has nothing to do after a failure if the run wrote nothing', async () => {
    const failed = flaggerObjects({ phase: 'Failed', lastAppliedSpec: 'hash-of-2', lastPromotedSpec: 'hash-of-1' })
    expect((await abort(failed, { ...ofFlagger, from: '', wroteNothing: true })).done).toBe('nothing')
  })
})

describe('the post step', () => {
  test('aborts a revision that the controller had not noticed when the run began', async () => {
    const { run } = followLooks({ type: 'argo-rollouts', looks: [argo({ observedGeneration: '2' }, 0)] })
    const { patches } = await abort(argoObjects(moving), run.intent.followed!)
    expect(patches).not.toEqual([])
  })

  test('leaves a rollout to its engine if `onCancel` says so, unless it is condemned', async () => {
    const holding = (failures: number) =>
      followLooks({ type: 'argo-rollouts', plan: 'onCancel: hold', failures, looks: [argo(moving)] })
    const well = holding(0)
    await well.run.tick()
    expect(well.run.intent.followed).toMatchObject({ holds: true })
    const bad = holding(500)
    for (let i = 0; i < 3; i++) await bad.run.tick()
    expect(bad.run.intent.followed).not.toHaveProperty('holds')
  })

  test('looks at the pods of the revision that was aborted', async () => {
    const asked: string[] = []
    const pod = (hash: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: hash,
        namespace: 'shop',
        annotations: { 'sidecar.istio.io/status': '{"containers":["istio-proxy"]}' },
        labels: { app: 'backend', 'rollouts-pod-template-hash': hash },
      },
      spec: { containers: [{ name: 'istio-proxy' }] },
      status: {
        phase: 'Running',
        containerStatuses: [
          { name: 'istio-proxy', ready: true, started: true, restartCount: 0, state: { running: {} } },
        ],
      },
    })
    const objects = argoObjects({ ...moving, phase: 'Degraded', abort: true }, 0)
    const cluster: Cluster = {
      ...clusterOf([...objects, pod('old'), pod('new')]),
      pod: (_, name) => {
        asked.push(name)
        return Promise.resolve('')
      },
    }
    const old = { app: 'backend', 'rollouts-pod-template-hash': 'old' }
    const selectors = { stable: old, canary: old }
    const intent = {
      split,
      identity: '',
      selectors,
      drainTarget: {
        selectors,
        clients: [],
        timeoutMs: 1_000,
        metrics: configOf('canary: { service: backend }').canary!.metrics,
      },
      needsDrainCheck: false,
      followed: { ...ofArgo, revision: 'new' },
    } as unknown as RecoveryIntent
    await recoverFollowed(cluster, intent, false, () => undefined, new FakeClock()).catch(() => undefined)
    expect([...new Set(asked)]).toEqual(['new'])
  })
})

describe('the stage rollback', () => {
  const argoConfig = 'namespace: shop\ncanary: { service: backend, engine: argo-rollouts }\n'
  const flaggerConfig = 'namespace: shop\ncanary: { service: backend, engine: flagger }\n'
  const rollBack = async (config: string, objects: readonly KubeObject[], everywhere: readonly KubeObject[] = []) => {
    const { cluster, patches } = patched([backendService, ...objects], undefined, everywhere)
    const plan = configOf(config).canary!
    const [clock, notes]: [FakeClock, string[]] = [new FakeClock(), []]
    const note = (line: string) => notes.push(line)
    const done = await rollBackFollowed(cluster, 'shop', plan, note, clock).catch(messageOf)
    return { done, patches, notes, ms: clock.now() }
  }

  test('aborts a Rollout that is degraded and keeps its traffic', async () => {
    const { patches } = await rollBack(argoConfig, argoObjects({ ...moving, phase: 'Degraded', message: 'late' }, 50))
    expect(patches).not.toEqual([])
  })

  test('takes the traffic from a canary whose controller is gone, and names the controller', async () => {
    const progressing = { phase: 'Progressing', lastAppliedSpec: 'new', canaryWeight: 20 }
    const controller = { ...running('flagger', 'flagger:1'), status: {} } as KubeObject
    const [, ...objects] = flaggerObjects(progressing)
    const { done, patches } = await rollBack(flaggerConfig, [serviceRoutes(20), ...objects], [controller])
    expect([...new Set(patches.map(([kind]) => kind))]).toEqual(['Canary', 'VirtualService'])
    expect(done).toMatch(/told to abort, .*; the controller of Flagger \(Deployment shop\/flagger\) has no ready pod/)
  })

  test('does not wait for a Canary that nobody looks at, once its traffic is back', async () => {
    const progressing = { phase: 'Progressing', lastAppliedSpec: 'new', canaryWeight: 20 }
    const { spec, ...rest } = canary(progressing)
    const [routes, , ...workloads] = flaggerObjects(progressing)
    const paused: FlaggerCanary = { ...rest, spec: { ...spec, suspend: true } }
    const suspended = [routes!, paused, ...workloads]
    const { done, notes, ms } = await rollBack(flaggerConfig, suspended)
    expect(done).toMatch(/told to abort, and Flagger has not ended it \(.*weight 0\); it is suspended/)
    expect(notes.join()).toMatch(/was told to abort; it is suspended/)
    expect(ms).toBeLessThan(5_000)
    const dead = { ...running('flagger', 'flagger:1'), status: {} } as KubeObject
    const left = await rollBack(flaggerConfig, flaggerObjects(progressing), [dead])
    expect(left.done).toMatch(/the controller of Flagger .* has no ready pod/)
    expect(left.ms).toBeLessThan(5_000)
  })

  test('says of a gate that has closed in the middle what an approval would do', async () => {
    const waiting = { phase: 'Waiting', lastAppliedSpec: 'new', canaryWeight: 20 }
    const { done } = await rollBack(flaggerConfig, flaggerObjects(waiting))
    expect(done).toMatch(
      /told to abort, and Flagger has not ended it \(Waiting, weight 0\); `confirm-rollout` waits for approval, and Flagger begins anew/,
    )
  })

  test.each([
    [
      'that Argo Rollouts has not seen',
      argoConfig,
      [...subsetRoutes(50), { ...rollout(moving), metadata: { ...rollout().metadata, generation: 4 } }],
    ],
    ['that Flagger has not seen', flaggerConfig, flaggerObjects({})],
  ])('does not say that nothing changed where there is a change %s', async (_, config, objects) => {
    expect((await rollBack(config, objects)).done).toMatch(/has not begun with .* yet, so there was nothing to abort/)
  })
})

test('a pause is ended only where it was seen', async () => {
  const { cluster, patches } = patched([])
  const pauseConditions = [{ reason: 'CanaryPauseStep' }]
  const object = rollout({ ...moving, currentStepIndex: 1, controllerPause: true, pauseConditions })
  await engineOf('argo-rollouts').resume!(cluster, { object })
  expect(patches[0]?.[3]).toEqual([
    { op: 'test', path: '/status/currentPodHash', value: 'new' },
    { op: 'test', path: '/status/currentStepIndex', value: 1 },
    { op: 'test', path: '/status/pauseConditions', value: pauseConditions },
    { op: 'remove', path: '/status/pauseConditions' },
  ])
})
