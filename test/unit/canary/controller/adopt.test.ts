import { beforeEach, describe, expect, test } from 'vitest'
import { adopt } from '../../../../src/canary/controller/adopt.ts'
import type { ReleaseAdoption } from '../../../../src/canary/controller/context.ts'
import { hashOfTemplate } from '../../../../src/canary/workload/fingerprint.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { PatchOperation } from '../../../../src/cluster/client.ts'
import type { HorizontalPodAutoscaler, Pod, VirtualService, Workload } from '../../../../src/cluster/objects.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith, pod, to, virtualService, split } from '../../fixtures.ts'
import { patched } from '../../patched.ts'

// The fake completes a rollout at once or never. test/e2e/traffic.test.ts uses a real cluster.

const selectors = { stable: { app: 'backend', version: 'v1' }, canary: { app: 'backend', version: 'v2' } }

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

function scaler(name: string, minReplicas = 3): HorizontalPodAutoscaler {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name },
    spec: { scaleTargetRef: { kind: 'Deployment', name }, minReplicas, maxReplicas: 8 },
  }
}

type Objects = {
  deployments: Workload[]
  pods: Pod[]
  scalers: HorizontalPodAutoscaler[]
  route: VirtualService
  rollsOut: boolean
  /** The pod template that was promoted; by default, that of the canary. */
  promoted?: Workload['spec']['template']
  /** What the first list of Deployments shows, if it is out of date. */
  listed?: Workload[]
  /** What somebody else does as soon as a Deployment is written. */
  interfere?: () => void
  /** What somebody else does before a Deployment is read. */
  onRead?: () => void
  /** What somebody else does when the canary has drained. */
  onDrained?: () => void
}
let objects: Objects
let notes: string[]
let warnings: string[]

/** A fake API server with these objects. A rollout completes at once or never. */
function fakeCluster(parts: Partial<Objects> = {}) {
  objects = {
    deployments: [deployment('v1'), deployment('v2')],
    pods: [],
    scalers: [],
    route: virtualService([{ route: [to('v1', 0), to('v2', 100)] }]),
    rollsOut: true,
    ...parts,
  }
  const canary = objects.deployments.find(({ metadata }) => metadata.name === 'backend-v2') ?? deployment('v2')
  const { promoted = canary.spec.template } = objects
  const change = (name: string, to: (each: Workload) => Workload) => {
    objects.deployments = objects.deployments.map((each) => (each.metadata.name === name ? to(each) : each))
    return objects.deployments.find(({ metadata }) => metadata.name === name)
  }
  const events: string[] = []
  const cluster = clusterWith({
    list: (kind: string) => {
      if (kind === 'HorizontalPodAutoscaler' && objects.scalers.length === 0)
        return Promise.reject(new ApiError(403, 'not for you'))
      return Promise.resolve(
        {
          Deployment: objects.listed ?? objects.deployments,
          Pod: objects.pods,
          HorizontalPodAutoscaler: objects.scalers,
          VirtualService: [objects.route],
        }[kind] ?? [],
      )
    },
    get: (_kind: string, _namespace: string, name: string) => {
      objects.onRead?.()
      const found = objects.deployments.find(({ metadata }) => metadata.name === name)!
      const { replicas = 1 } = found.spec
      return Promise.resolve({
        ...found,
        status: {
          observedGeneration: found.metadata.generation,
          replicas,
          updatedReplicas: objects.rollsOut ? replicas : 0,
          availableReplicas: replicas,
        },
      })
    },
    patch: (kind: string, _namespace: string, name: string, operations: PatchOperation[]) => {
      events.push(`${kind} ${name}`)
      if (kind === 'VirtualService') return Promise.resolve((objects.route = patched(objects.route, operations)))
      if (kind === 'HorizontalPodAutoscaler') {
        objects.scalers = objects.scalers.map((each) =>
          each.metadata.name === name ? patched(each, operations) : each,
        )
        return Promise.resolve({})
      }
      try {
        const written = change(name, (each) => patched(each, operations))
        objects.interfere?.()
        return Promise.resolve(written)
      } catch {
        return Promise.reject(new ApiError(422, 'the server rejected our request due to an error in our request'))
      }
    },
    merge: (_kind: string, _namespace: string, name: string, body: { spec: object }) => {
      events.push(`${name} ${JSON.stringify(body.spec)}`)
      return Promise.resolve(change(name, (each) => ({ ...each, spec: { ...each.spec, ...body.spec } })))
    },
  })
  const run = (isDrained = true, signal = new AbortController().signal, release?: ReleaseAdoption) =>
    adopt(cluster, split, selectors, {
      release,
      note: (line) => notes.push(line),
      warn: (line) => warnings.push(line),
      signal,
      template: hashOfTemplate(promoted),
      timeoutMs: 0,
      clock: new FakeClock(),
      isDrained: () => {
        events.push('drained?')
        objects.onDrained?.()
        return Promise.resolve(isDrained)
      },
      confirmLease: () => Promise.resolve(),
    })
  return {
    run,
    events,
    stable: () => objects.deployments.find(({ metadata }) => metadata.name === 'backend-v1')!,
    weights: () => objects.route.spec.http![0]!.route!.map(({ weight }) => weight),
  }
}

beforeEach(() => {
  notes = []
  warnings = []
})

describe('adopting the canary', () => {
  test('gives stable the template, then the traffic, and scales the drained canary to 0', async () => {
    const { run, events, weights } = fakeCluster()
    await run()
    expect(events).toEqual(['Deployment backend-v1', 'VirtualService backend', 'drained?', 'backend-v2 {"replicas":0}'])
    expect(weights()).toEqual([100, 0])
  })

  const putBack = () => void (objects.deployments = [deployment('v1'), objects.deployments[1]!])

  test('fails and leaves the traffic if a controller puts the old template back during the rollout', async () => {
    const { run, weights } = fakeCluster({ interfere: putBack })
    await expect(run()).rejects.toThrow('somebody changed or deleted Deployment/backend-v1 meanwhile')
    expect(weights()).toEqual([0, 100])
  })

  test('keeps the canary if somebody changes stable when the traffic is back', async () => {
    const { run, events } = fakeCluster()
    const release: ReleaseAdoption = {
      templateFor: () => deployment('v2').spec.template,
      writeConfigs: () => Promise.resolve(() => Promise.resolve()),
      updateSubset: () => Promise.resolve(putBack()),
      remove: () => Promise.resolve(String(events.push('removed'))),
    }
    await expect(run(true, undefined, release)).rejects.toThrow('its pods do not run what was promoted')
    expect(events).not.toContain('removed')
  })

  test('fails, and writes nothing, if the canary has another version than the promoted one', async () => {
    const { run, events } = fakeCluster({ promoted: deployment('v1').spec.template })
    await expect(run()).rejects.toThrow('Deployment/backend-v2 was changed after its checks had passed')
    expect(events).toEqual([])
  })

  test('keeps a canary that gets another version while stable takes over', async () => {
    const another = deployment('v2')
    another.spec.template.spec.containers[0]!.image = 'app:v3'
    const change = () => void (objects.deployments = [objects.deployments[0]!, another])
    const { run, stable, weights, events } = fakeCluster({ onDrained: change })
    await run()
    expect(stable().spec.template.spec.containers[0]!.image).toBe('app:v2')
    expect(weights()).toEqual([100, 0])
    expect(events).not.toContain('backend-v2 {"replicas":0}')
    expect(warnings[0]).toContain('Deployment/backend-v2 keeps running: somebody gave it another version meanwhile')
  })

  test("copies containers and annotations, keeps stable's own labels, and omits the time of a restart", async () => {
    const { run, stable } = fakeCluster({
      deployments: [
        deployment('v1', {}, { old: '1' }),
        deployment('v2', {}, { 'checksum/config': 'abc', 'kubectl.kubernetes.io/restartedAt': '2026-11-01T00:00:00Z' }),
      ],
    })
    await run()
    expect(stable().spec.template).toEqual({
      metadata: { labels: selectors.stable, annotations: { 'checksum/config': 'abc' } },
      spec: { containers: [{ name: 'app', image: 'app:v2' }] },
    })
    expect(stable().spec.selector).toEqual({ matchLabels: selectors.stable })
  })

  test.each([
    [0, 2, 2],
    [2, 5, 5],
    [5, 2, 5],
  ])(
    'with %i replicas of stable and %i of the canary scales stable to %i, so that it can carry the traffic',
    async (own, ofCanary, expected) => {
      const { run, stable } = fakeCluster({
        deployments: [deployment('v1', { replicas: own }), deployment('v2', { replicas: ofCanary })],
      })
      await run()
      expect(stable().spec.replicas).toBe(expected)
    },
  )

  test('leaves the canary running while someone calls it', async () => {
    const { run, events } = fakeCluster()
    await run(false)
    expect(events).not.toContain('backend-v2 {"replicas":0}')
    expect(notes.at(-1)).toBe(
      'Deployment/backend-v2 keeps running: could not confirm that it drained; scale it to 0 when it has',
    )
  })

  test('reports the autoscaler of the canary', async () => {
    await fakeCluster({ scalers: [scaler('backend-v1'), scaler('backend-v2')] }).run()
    expect(notes.at(-1)).toBe(
      'Deployment/backend-v2 is scaled to 0; its HorizontalPodAutoscaler backend-v2 pauses until someone scales it to 3 or more',
    )
  })
})

describe('an autoscaler that has scaled the idle stable down', () => {
  const shrunk = () => [deployment('v1', { replicas: 1 }), deployment('v2', { replicas: 4 })]
  const minimum = () => objects.scalers[0]!.spec.minReplicas
  /** Puts as many pods there as its minimum says: nobody calls stable. */
  const autoscale = () => {
    objects.deployments = objects.deployments.map((each) =>
      each.metadata.name === 'backend-v1' ? { ...each, spec: { ...each.spec, replicas: minimum()! } } : each,
    )
  }
  const committing = (): ReleaseAdoption => ({
    awaitCommit: () => Promise.resolve(objects.deployments[0]!),
    templateFor: ({ spec }) => spec.template,
    writeConfigs: () => Promise.resolve(() => Promise.resolve()),
    updateSubset: () => Promise.resolve(),
    remove: () => Promise.resolve('it is removed'),
  })

  test('gets the minimum that the traffic needs before stable gets it, and its own back before the canary goes', async () => {
    const { run, events } = fakeCluster({
      deployments: shrunk(),
      scalers: [scaler('backend-v1', 1)],
      interfere: autoscale,
    })
    await run()
    expect(events).toEqual([
      'HorizontalPodAutoscaler backend-v1',
      'Deployment backend-v1',
      'VirtualService backend',
      'drained?',
      'HorizontalPodAutoscaler backend-v1',
      'backend-v2 {"replicas":0}',
    ])
    expect(minimum()).toBe(1)
    expect(objects.deployments[0]!.spec.replicas).toBe(4)
  })

  test('keeps the traffic on the canary if somebody sets the minimum back', async () => {
    const setBack = () => {
      objects.scalers = [scaler('backend-v1', 1)]
      autoscale()
    }
    const { run, weights } = fakeCluster({
      deployments: shrunk(),
      scalers: [scaler('backend-v1', 1)],
      interfere: setBack,
    })
    await expect(run()).rejects.toThrow(
      /has 1 of the 4 ready pods that it needs for the canary's traffic; see why its HorizontalPodAutoscaler\/backend-v1 keeps/,
    )
    expect(weights()).toEqual([0, 100])
  })

  test('scales stable up after a commit, before the traffic moves', async () => {
    const fake = fakeCluster({ deployments: shrunk(), scalers: [scaler('backend-v1', 1)] })
    const release = committing()
    await expect(fake.run(true, undefined, release)).rejects.toThrow('has 1 of the 4 ready pods')
    expect(minimum()).toBe(4)
    autoscale()
    await fake.run(true, undefined, release)
    expect(fake.weights()).toEqual([100, 0])
    expect(fake.events).not.toContain('Deployment backend-v1')
    expect(minimum()).toBe(1)
  })

  const grow = (replicas: number) =>
    void (objects.deployments = [objects.deployments[0]!, deployment('v2', { replicas })])

  test('gets as many pods as the canary has when the commit arrives', async () => {
    const fake = fakeCluster({ deployments: shrunk(), scalers: [scaler('backend-v1', 1)] })
    const awaitCommit = () => {
      grow(6)
      return Promise.resolve(objects.deployments[0]!)
    }
    await expect(fake.run(true, undefined, { ...committing(), awaitCommit })).rejects.toThrow('has 1 of the 6 ready')
    expect(minimum()).toBe(6)
    expect(fake.weights()).toEqual([0, 100])
  })

  test('gets as many pods as the canary has after a rollout from Git', async () => {
    const onRead = () => {
      if (minimum() !== 4) return
      grow(6)
      autoscale()
    }
    const fake = fakeCluster({ deployments: shrunk(), scalers: [scaler('backend-v1', 1)], onRead })
    await expect(fake.run(true, undefined, committing())).rejects.toThrow('has 4 of the 6 ready')
    expect(fake.weights()).toEqual([0, 100])
  })

  test('lets stable grow with a canary that grows during the rollout', async () => {
    let writes = 0
    const interfere = () => void (++writes === 1 && grow(6))
    const { run, events } = fakeCluster({ deployments: shrunk(), scalers: [scaler('backend-v1', 1)], interfere })
    await run()
    expect(events.slice(0, 5)).toEqual([
      'HorizontalPodAutoscaler backend-v1',
      'Deployment backend-v1',
      'HorizontalPodAutoscaler backend-v1',
      'Deployment backend-v1',
      'VirtualService backend',
    ])
    expect(objects.deployments[0]!.spec.replicas).toBe(6)
  })
})

test.each([
  ['the canary of a release to the next run', true, 'the next run with this release removes it'],
  [
    'another canary to its owner',
    false,
    'scale it to 0 yourself, because the next run would promote the same version again',
  ],
])('a cancel when the traffic is back leaves %s', async (_, isRelease, next) => {
  const cancel = new AbortController()
  const { run, events, weights } = fakeCluster({ scalers: [scaler('backend-v1', 1)] })
  const release: ReleaseAdoption = {
    templateFor: () => deployment('v2').spec.template,
    writeConfigs: () => Promise.resolve(() => Promise.resolve()),
    updateSubset: () => Promise.resolve(),
    remove: () => Promise.resolve(String(events.push('removed'))),
  }
  objects.onDrained = () => cancel.abort()
  await run(true, cancel.signal, isRelease ? release : undefined)
  expect(weights()).toEqual([100, 0])
  expect(events.at(-1)).toBe('drained?')
  expect(objects.scalers[0]!.spec.minReplicas).toBe(2)
  expect(warnings).toEqual([
    'the run was cancelled, so HorizontalPodAutoscaler/backend-v1 keeps minReplicas 2 (before the promotion: 1); ' +
      'the stage `rollback` restores minReplicas',
    `the run was cancelled, so Deployment/backend-v2 keeps running: ${next}`,
  ])
})

describe('adopting fails', () => {
  const before = deployment('v1', { replicas: 1 })

  test.each<[string, Partial<Objects>, string]>([
    ['its rollout does not complete', { rollsOut: false }, 'its new pods do not exist yet'],
    [
      'its pods have no sidecar',
      { pods: [pod({ metadata: { labels: selectors.stable }, spec: { initContainers: [] } })] },
      'its pod backend-1 has no sidecar',
    ],
  ])('when %s, restores the Deployment of stable, and leaves the traffic', async (_, parts, why) => {
    const { run, stable, weights, events } = fakeCluster({ deployments: [before, deployment('v2')], ...parts })
    await expect(run()).rejects.toThrow(
      new RegExp(
        `^Deployment/backend-v1 could not take over from Deployment/backend-v2: .*${why}.*; it has its old template again, and the traffic stays on the canary$`,
      ),
    )
    expect(stable()).toEqual(before)
    expect(weights()).toEqual([0, 100])
    expect(events).toEqual(['Deployment backend-v1', 'Deployment backend-v1'])
  })

  test('when the run is cancelled, and restores the Deployment of stable', async () => {
    const { run, stable } = fakeCluster({ deployments: [before, deployment('v2')], rollsOut: false })
    await expect(run(true, AbortSignal.abort())).rejects.toThrow('the run was cancelled; it has its old template again')
    expect(stable()).toEqual(before)
  })

  test.each<[string, Workload[], string]>([
    [
      'stable has no Deployment',
      [deployment('v2')],
      'after: adopt needs one Deployment of the stable pods, and no Deployment in shop makes pods with app=backend,version=v1',
    ],
    [
      'stable has two Deployments',
      [before, { ...before, metadata: { name: 'other' } }, deployment('v2')],
      'several Deployments (backend-v1, other) in shop make pods with app=backend,version=v1',
    ],
    ['the canary has no Deployment', [before], 'after: adopt needs one Deployment of the canary pods'],
  ])('when %s, and writes nothing', async (_, deployments, message) => {
    const { run, events } = fakeCluster({ deployments })
    await expect(run()).rejects.toThrow(message)
    expect(events).toEqual([])
  })
})

describe('adopting a release', () => {
  const signal = new AbortController().signal
  const template = { metadata: { labels: { app: 'backend', version: 'v3' } }, spec: { containers: [{ name: 'app' }] } }
  const releaseOf = (events: string[]): ReleaseAdoption => {
    const noting =
      <T>(event: string, result: T) =>
      () =>
        Promise.resolve(events.push(event) > 0 ? result : result)
    return {
      templateFor: () => template,
      writeConfigs: noting('config', noting('config undone', undefined)),
      updateSubset: noting('subset', undefined),
      remove: noting('removed', 'it is removed'),
    }
  }

  test('gives stable the config first, its template, its subset, the traffic, and removes the drained canary', async () => {
    const { run, events, stable } = fakeCluster()
    await run(true, signal, releaseOf(events))
    expect(events).toEqual([
      'config',
      'Deployment backend-v1',
      'subset',
      'VirtualService backend',
      'drained?',
      'removed',
    ])
    expect(stable().spec.template).toEqual(template)
    expect(notes.at(-1)).toBe('it is removed')
  })

  test('takes the config back with the template if stable does not become ready', async () => {
    const { run, events, weights } = fakeCluster({ rollsOut: false })
    await expect(run(true, signal, releaseOf(events))).rejects.toThrow('could not take over')
    expect(events).toEqual(['config', 'Deployment backend-v1', 'config undone', 'Deployment backend-v1'])
    expect(weights()).toEqual([0, 100])
  })

  test('from Git writes nothing of stable, and moves the traffic when the controller has rolled it out', async () => {
    const { run, events, weights } = fakeCluster()
    const awaitCommit = () => Promise.resolve(events.push('committed') > 0 ? deployment('v1') : deployment('v1'))
    await run(true, signal, { ...releaseOf(events), awaitCommit })
    expect(events).toEqual(['committed', 'subset', 'VirtualService backend', 'drained?', 'removed'])
    expect(weights()).toEqual([100, 0])
  })

  test('from Git leaves the traffic on the canary if its pods do not become ready', async () => {
    const { run, events, weights } = fakeCluster({ rollsOut: false })
    const release = { ...releaseOf(events), awaitCommit: () => Promise.resolve(deployment('v1')) }
    await expect(run(true, signal, release)).rejects.toThrow('Deployment/backend-v1 was not ready within')
    expect(events).toEqual([])
    expect(weights()).toEqual([0, 100])
  })

  test('leaves a canary that may still serve to the next run', async () => {
    const { run, events } = fakeCluster()
    await run(false, signal, releaseOf(events))
    expect(events).not.toContain('removed')
    expect(notes.at(-1)).toContain('the next run removes it')
  })
})

describe("a write to stable's Deployment", () => {
  /** The first write finds the Deployment changed, as `change` says. */
  function changedMeanwhile(change: (each: Workload) => Workload) {
    const fake = fakeCluster()
    const bumped = (each: Workload) => ({ ...change(each), metadata: { ...each.metadata, generation: 2 } })
    const original = objects.deployments[0]!
    const read = [original, objects.deployments[1]!]
    objects.deployments = [bumped(original), objects.deployments[1]!]
    return { ...fake, read }
  }

  test('is repeated if an autoscaler has changed the replicas', async () => {
    const { run, stable, read } = changedMeanwhile((each) => ({ ...each, spec: { ...each.spec, replicas: 6 } }))
    objects.listed = read
    await run()
    expect(stable().spec.template.spec.containers).toEqual([{ name: 'app', image: 'app:v2' }])
  })

  test('fails if someone has changed the template', async () => {
    const { run, weights, read } = changedMeanwhile((each) => {
      return {
        ...each,
        spec: { ...each.spec, template: { spec: { containers: [{ name: 'app', image: 'app:own' }] } } },
      }
    })
    objects.listed = read
    await expect(run()).rejects.toThrow('the pod template of Deployment/backend-v1 was changed meanwhile')
    expect(weights()).toEqual([0, 100])
  })
})
