// Faults of Chaos Mesh: the object that is written, whom it concerns, and when it acts, ends and is gone.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KubeObject, Lease, Pod } from '../../../src/cluster/objects.ts'
import { experimentClusterFaults } from '../../../src/experiments/safety.ts'
import { actingOn, affectedByChaos, chaosManifest, chaosObjectOf } from '../../../src/experiments/faults/chaos-mesh.ts'
import { FaultInjector } from '../../../src/experiments/faults/injector.ts'
import { objectsOf, planFault } from '../../../src/experiments/faults/fault-plan.ts'
import { clusterWith, configOf, pod } from '../fixtures.ts'
import { experimentOf } from './fixtures.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'chaos-mesh-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const kill =
  '{ chaosMesh: { kind: PodChaos, spec: { action: pod-kill, mode: one, selector: { labelSelectors: { app: backend } } } } }'
const experiment = () => experimentOf('maxAffected: 100%', kill)
const spec = { action: 'pod-kill', mode: 'one', selector: { labelSelectors: { app: 'backend' } } }
const podChaos = { apiVersion: 'chaos-mesh.org/v1alpha1', kind: 'PodChaos', metadata: { name: 'mine' }, spec }

function fileOf(...objects: object[]): string {
  const file = join(folder, `${Math.random()}.yaml`)
  writeFileSync(file, objects.map((each) => JSON.stringify(each)).join('\n---\n'))
  return file
}

test('the object concerns its own namespace only, and ends by itself after the experiment', () => {
  expect(chaosManifest('shop', 'mesh-canary-experiment-backend', experiment())).toMatchObject({
    kind: 'PodChaos',
    metadata: { name: 'mesh-canary-experiment-backend', namespace: 'shop' },
    // 15 s until it acts, 20 s in which it acts, and a minute.
    spec: { ...spec, selector: { ...spec.selector, namespaces: ['shop'] }, duration: '95s' },
  })
})

test('a network fault concerns no other namespace on its other side either', () => {
  const target = '{ mode: all, selector: { labelSelectors: { app: db } } }'
  const cut = `{ chaosMesh: { kind: NetworkChaos, spec: { action: partition, mode: all, selector: { labelSelectors: { app: a } }, target: ${target} } } }`
  const { spec } = chaosManifest('shop', 'x', experimentOf('', cut)) as KubeObject & { spec: { target: object } }
  expect(spec.target).toEqual({ mode: 'all', selector: { labelSelectors: { app: 'db' }, namespaces: ['shop'] } })
})

describe('a file', () => {
  test('with one object is as good as the config', () => {
    expect(chaosObjectOf({ file: fileOf(podChaos) }, 'shop')).toEqual({ kind: 'PodChaos', spec })
  })

  test.each<[string, object[], string]>([
    ['two objects', [podChaos, podChaos], 'has several objects; write one'],
    ['a Schedule', [{ ...podChaos, kind: 'Schedule' }], 'a Schedule injects again and again'],
    ['an object of another group', [{ ...podChaos, apiVersion: 'v1' }], 'expected an object of chaos-mesh.org'],
    ['an empty spec', [{ ...podChaos, spec: null }], 'spec: null: expected the settings of a PodChaos'],
    ['a duration', [{ ...podChaos, spec: { ...spec, duration: '1h' } }], 'spec.duration: the experiment sets it'],
  ])('with %s is refused', (_, objects, message) => {
    expect(() => chaosObjectOf({ file: fileOf(...objects) }, 'shop')).toThrow(message)
  })
})

test.each<[string, string | undefined, number]>([
  ['one', undefined, 1],
  ['all', undefined, 5],
  ['fixed', '2', 2],
  ['fixed', '9', 5],
  ['fixed-percent', '50', 3],
  ['random-max-percent', '100', 5],
])('the mode %s with the value %s affects %i of five pods', (mode, value, affected) => {
  expect(affectedByChaos({ kind: 'PodChaos', spec: { mode, value } }, 5)).toBe(affected)
})

type Status = { selected?: boolean; injected?: boolean; phase?: string; pods?: number }
const withStatus = ({ selected = true, injected = true, phase = 'Run', pods = 1 }: Status) => ({
  ...podChaos,
  status: {
    conditions: [
      { type: 'Selected', status: selected ? 'True' : 'False' },
      { type: 'AllInjected', status: injected ? 'True' : 'False' },
    ],
    experiment: {
      desiredPhase: phase,
      containerRecords: Array.from({ length: pods }, (_, i) => ({ id: `shop/p${i}`, phase: 'Injected' })),
    },
  },
})

test.each<[string, object | undefined, number]>([
  ['is injected and should run', withStatus({ pods: 2 }), 2],
  ['was injected and should stop', withStatus({ phase: 'Stop' }), 0],
  ['has selected nobody', withStatus({ selected: false }), 0],
  ['is not injected everywhere', withStatus({ injected: false }), 0],
  ['has no status yet', podChaos, 0],
  ['is gone', undefined, 0],
])('a fault that %s', async (_, object, acting) => {
  const cluster = clusterWith({ get: () => Promise.resolve(object) })
  const found = { kind: 'PodChaos', namespace: 'shop', name: 'x', undo: { kind: 'delete' } } as const
  expect(await actingOn(cluster, found, [])).toHaveLength(acting)
})

const uidOf = (name: string) => pod({ metadata: { name, uid: `uid of ${name}`, namespace: 'shop' } })
const cutSpec = { action: 'partition', mode: 'all', selector: { labelSelectors: { app: 'backend' } } }

test.each<[string, object]>([
  ['of the network', { kind: 'NetworkChaos', spec: cutSpec }],
  ['that stops containers', { spec: { ...spec, action: 'pod-failure' } }],
])('a fault %s acts only on pods that still exist', async (_, more) => {
  const cluster = clusterWith({ get: () => Promise.resolve({ ...withStatus({ pods: 2 }), ...more }) })
  const found = { kind: 'NetworkChaos', namespace: 'shop', name: 'x', undo: { kind: 'delete' } } as const
  expect(await actingOn(cluster, found, [uidOf('p1'), uidOf('p2')])).toEqual(['uid of p1'])
})

test('a pod counts once, however many of its containers the fault concerns', async () => {
  const containerRecords = ['a', 'b'].map((each) => ({ id: `shop/p1/${each}`, phase: 'Injected' }))
  const { status } = withStatus({})
  const stress = {
    kind: 'StressChaos',
    spec: {},
    status: { ...status, experiment: { desiredPhase: 'Run', containerRecords } },
  }
  const cluster = clusterWith({ get: () => Promise.resolve(stress) })
  const found = { kind: 'StressChaos', namespace: 'shop', name: 'x', undo: { kind: 'delete' } } as const
  expect(await actingOn(cluster, found, [uidOf('p1')])).toEqual(['uid of p1'])
})

describe('the injector', () => {
  let current: object | undefined
  const cluster = clusterWith({
    get: () => Promise.resolve(current),
    create: (object: object) => Promise.resolve((current = { ...object, ...statusOf({ injected: false }) })),
    // Chaos Mesh keeps the object until it has recovered.
    remove: () => Promise.resolve((current = { ...current, metadata: { ...marks(), deletionTimestamp: 'now' } })),
  })
  const statusOf = (status: Status) => ({ status: withStatus(status).status })
  const marks = () => (current as KubeObject).metadata

  async function injector(chosen = experiment(), pods: () => Pod[] = () => []) {
    const planned = objectsOf(await planFault(cluster, 'shop', 'x', chosen))
    const session = { identity: 'run 7', lease: { metadata: { name: 'mesh-canary-backend', uid: '1' } } as Lease }
    const nothing = () => Promise.resolve()
    return new FaultInjector(cluster, {
      namespace: 'shop',
      name: 'trial',
      experiment: chosen,
      objectName: 'x',
      session: { ...session, renew: nothing, cover: nothing } as never,
      planned,
      intend: () => undefined,
      pods,
      note: () => undefined,
    })
  }

  test('counts the fault once Chaos Mesh has injected it, and notices when it ends', async () => {
    const fault = await injector()
    await fault.inject(0)
    expect(await fault.takeAffected()).toBe(0)
    current = { ...current, ...statusOf({ pods: 2 }) }
    expect(await fault.takeAffected()).toBe(2)
    expect(await fault.takeAffected()).toBe(0)
    expect(await fault.findDisturbances()).toEqual([])
    current = { ...current, ...statusOf({ phase: 'Stop' }) }
    expect(await fault.findDisturbances()).toEqual([expect.stringContaining('PodChaos shop/x acts no more')])
  })

  test('notices that one of its pods is replaced, also by one of the same name', async () => {
    let pods = ['p0', 'p1'].map(uidOf)
    const cut = `{ chaosMesh: { kind: NetworkChaos, spec: ${JSON.stringify(cutSpec)} } }`
    const fault = await injector(experimentOf('maxAffected: 100%', cut), () => pods)
    await fault.inject(0)
    current = { ...current, ...statusOf({ pods: 2 }) }
    expect(await fault.takeAffected()).toBe(2)
    expect(await fault.findDisturbances()).toEqual([])
    pods = [pods[0]!, pod({ metadata: { name: 'p1', uid: 'another', namespace: 'shop' } })]
    expect(await fault.findDisturbances()).toEqual([
      'NetworkChaos shop/x acts on only 1 of 2 pods: the others were replaced',
    ])
  })

  test('has removed it only when the object is gone', async () => {
    const fault = await injector()
    await fault.inject(0)
    await fault.restore()
    expect(fault.isRemoved()).toBe(false)
    current = undefined
    await fault.restore()
    expect(fault.isRemoved()).toBe(true)
  })
})

describe('is refused', () => {
  type World = { serves?: boolean; owners?: string[]; allowed?: number; settings?: string; inject?: string }
  function faults({ serves = true, owners = ['a', 'a', 'a'], allowed, settings = '', inject = kill }: World) {
    const labels = { app: 'backend' }
    const own = owners.map((uid, i) => {
      const ownerReferences = [{ kind: 'ReplicaSet', name: uid, uid, controller: true }]
      return pod({ metadata: { name: `p${i}`, uid: `p${i}`, namespace: 'shop', labels, ownerReferences } })
    })
    const budget = {
      metadata: { name: 'most' },
      spec: { selector: { matchLabels: labels } },
      status: { disruptionsAllowed: allowed },
    }
    const lists: Record<string, object[]> = {
      Pod: own,
      Service: [{ metadata: { name: 'backend' } }],
      PodDisruptionBudget: allowed === undefined ? [] : [budget],
    }
    const cluster = clusterWith({
      list: (kind: string) => Promise.resolve(lists[kind] as never),
      get: () =>
        Promise.resolve({ metadata: { name: 'shop', labels: { 'mesh-canary.io/experiments': 'allowed' } } } as never),
      serves: () => Promise.resolve(serves),
      isAllowed: () => Promise.resolve(true),
    })
    const trial = `service: backend, inject: ${inject}, ${settings}`
    return experimentClusterFaults(cluster, configOf(`namespace: shop\nexperiments: { trial: { ${trial} } }`))
  }

  describe('what the other side affects as well,', () => {
    const both = (direction: string, mode: string, owners = ['a', 'a', 'a']) => {
      const side = (each: string) => `mode: ${each}, selector: { labelSelectors: { app: backend } }`
      const spec = `{ action: partition, direction: ${direction}, ${side('one')}, target: { ${side(mode)} } }`
      return faults({ owners, inject: `{ chaosMesh: { kind: NetworkChaos, spec: ${spec} } }` })
    }

    test('if the fault changes their network', async () => {
      expect(await both('to', 'all')).toEqual([])
      expect((await both('both', 'all')).join()).toContain(
        'may affect 3 of 3 pods of a workload, with those of `target`',
      )
    })

    test('if both sides may be of one workload', async () => {
      expect((await both('both', 'one')).join()).toContain(
        'may affect 2 of 3 pods of a workload, with those of `target`',
      )
      expect(await both('both', 'one', ['a', 'a', 'a', 'a'])).toEqual([])
    })
  })

  test.each<[string, World, string | undefined]>([
    ['nothing where one of three pods is affected', {}, undefined],
    ['Chaos Mesh that is not there', { serves: false }, 'the cluster has no PodChaos; install Chaos Mesh'],
    ['labels of no pod', { owners: [] }, 'no pod in shop has these labels'],
    ['the only pod of one of two workloads', { owners: ['a', 'a', 'b'] }, 'may affect 1 of 1 pods of a workload'],
    ['a pod that a budget protects', { allowed: 0 }, 'the PodDisruptionBudget shop/most allows 0 to be missing now'],
    ['nothing where a budget allows it', { allowed: 1 }, undefined],
  ])('%s', async (_, world, message) => {
    const found = await faults(world)
    expect(found).toHaveLength(message === undefined ? 0 : 1)
    if (message !== undefined) expect(found[0]).toContain(`experiments.trial.inject.chaosMesh`)
    expect(found.join()).toContain(message ?? '')
  })
})
