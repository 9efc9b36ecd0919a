import { readFileSync, rmSync } from 'node:fs'
import { load } from 'js-yaml'
import { describe, expect, test } from 'vitest'
import type {
  DestinationRule,
  HorizontalPodAutoscaler,
  KubeObject,
  VirtualService,
  Workload,
} from '../../../src/cluster/objects.ts'
import type { Config } from '../../../src/config/schema.ts'
import { stagesOf } from '../../../src/config/stages.ts'
import { desired } from '../../../src/policies/desired.ts'
import { prepareReleases, configAtRest, planReleases } from '../../../src/stages/release.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import { outputsOf } from '../../../src/report/outputs.ts'
import { FakeClock } from '../fake-clock.ts'
import { configOf, fileWith, tempFolder, to } from '../fixtures.ts'
import { stringify } from '../../../src/yaml/stringify.ts'
import { clusterOf, deployment, service } from '../release/fixtures.ts'

const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } }
const next = 'image: "registry.test/till:2"'
const versioned = (version = '1') => deployment('till', { app: 'till', version })

/** The routes of the service, with all traffic on stable. */
function routes(...destinations: ReturnType<typeof to>[]): VirtualService {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'till', namespace: 'shop', resourceVersion: '1' },
    spec: { hosts: ['till'], http: [{ route: destinations }] },
  }
}
const bySubset = routes(to('stable', 100, 'till'), to('canary', 0, 'till'))
const byService = routes(
  { destination: { host: 'till' }, weight: 100 },
  { destination: { host: 'till-canary' }, weight: 0 },
)

function begin(objects: KubeObject[], yaml = `canary: { service: till, ${next} }`) {
  const fake = clusterOf([namespace, service({ app: 'till' }), ...objects])
  const notes: string[] = []
  const config = configOf(`namespace: shop\n${yaml}`)
  const cancel = new AbortController()
  const host = {
    signal: cancel.signal,
    runName: 'run 7',
    info: (line: string) => notes.push(line),
    warning: (line: string) => notes.push(`warning: ${line}`),
    outputFolder: tempFolder(),
  }
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const redactor = { redact: (text: string) => text }
  const context = {
    config,
    stages: stagesOf(config),
    cluster: fake.cluster,
    host,
    recorder,
    redactor,
  } as unknown as StageContext
  return { ...fake, notes, cancel, context, plan: () => planReleases(context) }
}

describe('before the run changes anything', () => {
  test('the subset of stable gets the label that tells its pods from the canary', async () => {
    const { config } = await begin([versioned('7')]).plan()
    expect(config.services!['till']!.subsets).toEqual({
      stable: { version: '7' },
      canary: { 'mesh-canary.io/canary': 'till' },
    })
  })

  test('it stays open in a run that promotes nothing', async () => {
    const { plan } = begin([versioned()], `stages: policies\ncanary: { service: till, ${next} }`)
    expect((await plan()).config.services!['till']!.subsets).toMatchObject({ stable: {} })
  })

  test('it selects all pods while there is nothing to release', async () => {
    const { config } = await begin([versioned()], 'canary: { service: till, image: "registry.test/till:1" }').plan()
    expect(config.services!['till']!.subsets).toMatchObject({ stable: {} })
  })

  test('the current image releases nothing, and leaves a canary to the run that made it', async () => {
    const left = deployment('till-canary', { app: 'till', 'mesh-canary.io/canary': 'till' })
    left.metadata.labels = { 'mesh-canary.io/canary': 'till' }
    const { plan, writes } = begin([versioned('7'), left], 'canary: { service: till, image: current }')
    const context = await plan()
    expect(context.config.services!['till']!.subsets).toMatchObject({ stable: { version: '7' } })
    expect((await prepareReleases(context)).whyIdle('till')).toBe('Deployment/till runs this release already')
    expect(writes).toEqual([])
  })

  test('without such a label the versions are Services', async () => {
    const { config } = await begin([deployment()]).plan()
    expect(config.canary).toMatchObject({
      stable: { by: 'service', name: 'till' },
      canary: { by: 'service', name: 'till-canary' },
    })
    expect(config.services).toEqual({ till: {} })
  })

  test('a Kustomization that would not apply the commit is a warning, if the release needs one', async () => {
    const stable = versioned()
    stable.metadata.labels = { 'kustomize.toolkit.fluxcd.io/name': 'apps' }
    const suspended = { apiVersion: 'v1', kind: 'Kustomization', metadata: { name: 'apps' }, spec: { suspend: true } }
    const { plan, notes } = begin([stable, suspended], `canary: { service: till, ${next}, after: gitops }`)
    await plan()
    expect(notes).toContain(
      'warning: the release of till could not arrive from Git now: the Kustomization apps is suspended',
    )
    const idle = begin([stable, suspended], 'canary: { service: till, image: current, after: gitops }')
    await idle.plan()
    expect(idle.notes.join()).not.toContain('warning')
  })

  test('all releases that cannot be made are reported at once, each with its key', async () => {
    const { plan, writes } = begin(
      [versioned(), { ...service({ app: 'desk' }), metadata: { name: 'desk', namespace: 'shop' } }],
      `canaries: [{ service: till, images: { web: "w:1" } }, { service: desk, ${next} }]`,
    )
    await expect(plan()).rejects.toThrow(
      /^canaries\.0\.images: the Deployment shop\/till has no container web.*\ncanaries\.1\.image: no Deployment with pods/,
    )
    expect(writes).toEqual([])
  })

  test('a second Service that would give the canary requests is an error, unless it is routed or has other pods', async () => {
    const named = (name: string, selector: Record<string, string>) => ({
      ...service(selector),
      metadata: { name, namespace: 'shop' },
    })
    const route = { ...bySubset, spec: { hosts: ['till-inside'], http: [] } } as KubeObject
    const inside = named('till-inside', { app: 'till' })
    const message = 'canary.image: the Service shop/till-inside selects pods of both stable and canary'
    await expect(begin([versioned(), inside]).plan()).rejects.toThrow(message)
    await expect(begin([versioned(), inside, route]).plan()).resolves.toBeDefined()
    await expect(begin([deployment(), inside]).plan()).resolves.toBeDefined()
    await expect(begin([versioned(), named('desk', { app: 'desk' })]).plan()).resolves.toBeDefined()
  })

  test.each([
    ['subsets', bySubset, { by: 'subset', name: 'stable' }],
    ['Services', byService, { by: 'service', name: 'till' }],
  ])('a rollback needs no release, and follows routes between %s', async (_, route, stable) => {
    const stateful: Workload = { ...versioned(), kind: 'StatefulSet' }
    const { config } = await begin([stateful, route], `stages: rollback\ncanary: { service: till, ${next} }`).plan()
    expect(config.canary).toMatchObject({ stable })
  })
})

describe('before its promotion', () => {
  /** Creates the canary of the release in these objects, and returns it as it is then. */
  async function canaryOf(image: string): Promise<KubeObject> {
    const { plan, get } = begin([versioned(), bySubset], `canary: { service: till, image: "${image}" }`)
    await prepareReleases(await plan())
    return get('Deployment', 'till-canary')!
  }

  test('a canary is created, and known to its promotion', async () => {
    const { plan, writes } = begin([versioned(), bySubset])
    const { created, whyIdle } = await prepareReleases(await plan())
    expect(writes).toEqual(['apply Deployment till-canary × 0', 'apply Deployment till-canary × 2'])
    expect(created('till')).toBeDefined()
    expect(whyIdle('till')).toBeUndefined()
  })

  test.each([
    [1, '1 replica'],
    [3, '3 replicas'],
  ])('a canary with %i replicas is announced as one of %s', async (replicas, text) => {
    const { plan, notes } = begin([versioned(), bySubset], `canary: { service: till, ${next}, replicas: ${replicas} }`)
    await prepareReleases(await plan())
    expect(notes).toContain(`Deployment/till-canary: created with ${text}`)
  })

  test('a release that runs already writes nothing', async () => {
    const { plan, writes } = begin([versioned()], 'canary: { service: till, image: "registry.test/till:1" }')
    const { created, whyIdle } = await prepareReleases(await plan())
    expect(whyIdle('till')).toBe('Deployment/till runs this release already')
    expect(created('till')).toBeUndefined()
    expect(writes).toEqual([])
  })

  test('the canary of another release is removed first, and the run says so', async () => {
    const { plan, writes, notes } = begin([versioned(), bySubset, await canaryOf('registry.test/till:9')])
    await prepareReleases(await plan())
    expect(writes).toEqual([
      'remove Deployment till-canary uid-of-till-canary',
      'apply Deployment till-canary × 0',
      'apply Deployment till-canary × 2',
    ])
    expect(notes).toContain('Deployment/till-canary: an earlier run left it with another release; it is removed first')
  })

  test('the canary of the same release goes on', async () => {
    const { plan, writes, notes } = begin([versioned(), bySubset, await canaryOf('registry.test/till:2')])
    await prepareReleases(await plan())
    expect(writes).toEqual(['apply Deployment till-canary × 2'])
    expect(notes.at(-1)).toContain('an earlier run left it with this release, which continues')
  })

  test('a canary beside a stable version that runs the release is removed', async () => {
    const left = await canaryOf('registry.test/till:9')
    const { plan, writes } = begin(
      [versioned(), bySubset, left],
      'canary: { service: till, image: "registry.test/till:1" }',
    )
    const { whyIdle } = await prepareReleases(await plan())
    expect(whyIdle('till')).toContain('all traffic is there, and the canary that an earlier run left is removed')
    expect(writes).toEqual(['remove Deployment till-canary uid-of-till-canary'])
  })
})

describe('what has changed since the plan', () => {
  const upgrade = (version: string) => [
    { op: 'replace' as const, path: '/spec/template/spec/containers/0/image', value: `registry.test/till:${version}` },
  ]
  const ofFirst = 'canary: { service: till, image: "registry.test/till:1", progressDeadline: 1s }'
  const leftOf = async (image: string) => {
    const { plan, get } = begin([versioned(), bySubset], `canary: { service: till, image: "${image}" }`)
    await prepareReleases(await plan())
    return get('Deployment', 'till-canary')!
  }

  test('a release that another run has replaced is not called running', async () => {
    const { plan, cluster } = begin([versioned(), bySubset], ofFirst)
    const context = await plan()
    await cluster.patch('Deployment', 'shop', 'till', upgrade('2'))
    await expect(prepareReleases(context)).rejects.toThrow('Deployment/till was changed since this run planned')
  })

  test('what another run had left to finish is promoted, if that run has released something else', async () => {
    const { plan, cluster } = begin([versioned(), bySubset, await leftOf('registry.test/till:9')], ofFirst)
    const context = await plan()
    await cluster.patch('Deployment', 'shop', 'till', upgrade('9'))
    await cluster.remove('Deployment', 'shop', 'till-canary')
    const { created, whyIdle } = await prepareReleases(context)
    expect(whyIdle('till')).toBeUndefined()
    expect(created('till')).toBeDefined()
  })

  test('manifests that are gone are named by the key that the config has for them', async () => {
    const file = fileWith(stringify(versioned('2')), 'till.yaml')
    const { plan } = begin([versioned(), bySubset], `canaries: [{ service: till, manifests: ${file} }]`)
    const context = await plan()
    rmSync(file)
    await expect(prepareReleases(context)).rejects.toThrow(/^canaries\.0\.manifests: /)
  })

  test('stable does not run a release while its pods do not', async () => {
    const stuck = {
      ...versioned(),
      status: { observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 2 },
    }
    const { plan } = begin([stuck, bySubset], ofFirst)
    await expect(plan().then(prepareReleases)).rejects.toThrow('Deployment/till was not ready within 1 s')
  })

  test('traffic returns to stable only when a rollout of it that died is complete', async () => {
    const stuck = {
      ...versioned(),
      status: { observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 2 },
    }
    const atCanary = routes(to('stable', 0, 'till'), to('canary', 100, 'till'))
    const yaml = `canary: { service: till, ${next}, progressDeadline: 1s }`
    const { plan, writes } = begin([stuck, atCanary, await leftOf('registry.test/till:9')], yaml)
    await expect(plan().then(prepareReleases)).rejects.toThrow('Deployment/till was not ready within 1 s')
    expect(writes).toEqual([])
  })

  test('a canary whose promotion could not start is removed, but not one that an earlier run left', async () => {
    const first = begin([versioned(), bySubset])
    await (await prepareReleases(await first.plan())).abandon()
    expect(first.writes.at(-1)).toBe('remove Deployment till-canary uid-of-till-canary')
    const later = begin([versioned(), bySubset, await leftOf('registry.test/till:2')])
    await (await prepareReleases(await later.plan())).abandon()
    expect(later.writes).toEqual(['apply Deployment till-canary × 2'])
  })
})

describe('the autoscaler of stable', () => {
  const scaler = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'till', namespace: 'shop' },
    spec: {
      scaleTargetRef: { kind: 'Deployment', name: 'till' },
      minReplicas: 1,
      maxReplicas: 9,
    },
  } satisfies HorizontalPodAutoscaler
  const labels = { app: 'till', version: '1' }
  const scaled = (image: string) => {
    const made = deployment('till', labels, { containers: [{ name: 'app', image }] })
    return { ...made, spec: { ...made.spec, selector: { matchLabels: labels } } }
  }
  const minimum = (get: ReturnType<typeof begin>['get']) =>
    (get('HorizontalPodAutoscaler', 'till') as HorizontalPodAutoscaler).spec.minReplicas
  /** What a run leaves that dies during its promotion. */
  async function died(yaml?: string) {
    const begun = begin([scaled('registry.test/till:1'), bySubset, scaler], yaml)
    const releases = await prepareReleases(await begun.plan())
    const left = [begun.get('HorizontalPodAutoscaler', 'till')!, begun.get('Deployment', 'till-canary')!]
    return { ...begun, releases, left }
  }

  /** A run that finds stable with the release, and these objects; it is cancelled when it reads the autoscaler. */
  async function cancelledAtAutoscaler(left: KubeObject[]) {
    const begun = begin([scaled('registry.test/till:2'), bySubset, ...left])
    const context = await begun.plan()
    const list = begun.cluster.list.bind(begun.cluster)
    const cancelling = (...args: Parameters<typeof list>) => {
      if (args[0] === 'HorizontalPodAutoscaler') begun.cancel.abort()
      return list(...args)
    }
    Object.assign(begun.cluster, { list: cancelling })
    return { ...begun, prepared: prepareReleases(context) }
  }

  test('keeps the pods that stable has during the promotion, and gets its minimum back with a rollback', async () => {
    const { get, releases } = await died()
    expect(minimum(get)).toBe(2)
    await releases.created('till')!.cleanUp()
    expect(minimum(get)).toBe(1)
  })

  const raised =
    'the run was cancelled, so HorizontalPodAutoscaler/till keeps minReplicas 2 (before the promotion: 1); ' +
    'the stage `rollback` restores minReplicas'

  test('keeps its canary until it has its minimum back, which a cancelled run leaves to the next one', async () => {
    const { get, releases, cancel, notes } = await died()
    cancel.abort()
    expect(await releases.created('till')!.cleanUp()).toBe(
      'Deployment/till-canary keeps running: the next run with this release continues with it, and one with another ' +
        'release removes it',
    )
    expect(notes).toContain(`warning: ${raised}`)
    expect(get('Deployment', 'till-canary')).toBeDefined()
    expect(minimum(get)).toBe(2)
  })

  test('a cancelled run that completes the release of one that died leaves the canary, too', async () => {
    const { left } = await died()
    const { get, notes, prepared } = await cancelledAtAutoscaler(left)
    await expect(prepared).rejects.toThrow(
      `${raised}; Deployment/till-canary keeps running until the next run with this release, which removes it`,
    )
    expect(notes).toContain(`warning: ${raised}`)
    expect(get('Deployment', 'till-canary')).toBeDefined()
    expect(minimum(get)).toBe(2)
  })

  test('a cancelled run does not say that there is nothing to do while the minimum is raised', async () => {
    const { left } = await died()
    const { get, notes, prepared } = await cancelledAtAutoscaler([left[0]!])
    await expect(prepared).rejects.toThrow(raised)
    expect(notes).toContain(`warning: ${raised}`)
    expect(minimum(get)).toBe(2)
  })

  test('gets its minimum back if the canary that replaces an old one does not get its pods', async () => {
    const { left } = await died()
    const yaml = 'canary: { service: till, image: "registry.test/till:3", progressDeadline: 1ms }'
    const { plan, get, cluster, writes } = begin([scaled('registry.test/till:1'), bySubset, ...left], yaml)
    const read = cluster.get.bind(cluster)
    const withoutPods = async (...args: Parameters<typeof read>) => {
      const found = await read(...args)
      return found && args[2] === 'till-canary' ? { ...found, status: {} } : found
    }
    Object.assign(cluster, { get: withoutPods })
    await expect(plan().then(prepareReleases)).rejects.toThrow('Deployment/till-canary has 0 of 2 pods')
    expect(writes.at(-1)).toBe('remove Deployment till-canary uid-of-till-canary')
    expect(minimum(get)).toBe(1)
  })

  test('that comes from Git is not written before the commit', async () => {
    expect(minimum((await died(`canary: { service: till, ${next}, after: gitops }`)).get)).toBe(1)
  })

  test('gets its minimum back from the run that completes the release of one that died', async () => {
    const { left } = await died()
    const { plan, get } = begin([scaled('registry.test/till:2'), bySubset, ...left])
    await prepareReleases(await plan())
    expect(minimum(get)).toBe(1)
  })

  test('is raised before a later run moves the traffic back, which waits for its pods', async () => {
    const shrunk = scaled('registry.test/till:2')
    shrunk.spec.replicas = 1
    shrunk.status = { observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1 }
    const labels = { 'mesh-canary.io/canary': 'till' }
    const canary = deployment('till-canary', { app: 'till', version: 'canary', ...labels })
    canary.metadata.labels = labels
    canary.spec.replicas = 4
    const atCanary = routes(to('stable', 0, 'till'), to('canary', 100, 'till'))
    const yaml = `canary: { service: till, ${next}, after: gitops, progressDeadline: 1s }`
    const { plan, get, writes } = begin([shrunk, atCanary, scaler, canary], yaml)
    await expect(plan().then(prepareReleases)).rejects.toThrow('Deployment/till has 1 of the 4 ready pods')
    expect(minimum(get)).toBe(4)
    expect(writes).toEqual(['patch HorizontalPodAutoscaler till'])
  })

  test('gets its minimum back from the next run if somebody has removed the canary', async () => {
    const { left } = await died()
    const { plan, get } = begin([scaled('registry.test/till:2'), bySubset, left[0]!])
    await prepareReleases(await plan())
    expect(minimum(get)).toBe(1)
  })
})

describe('a release that Git hands over', () => {
  async function awaitCommit() {
    const begun = begin([versioned(), bySubset], `canary: { service: till, ${next}, after: gitops, commitTimeout: 0s }`)
    const { created } = await prepareReleases(await begun.plan())
    begun.writes.length = 0
    const wait = created('till')!.adoption.awaitCommit!({
      note: begun.context.host.info,
      signal: begun.context.host.signal,
      clock: new FakeClock(),
    })
    await expect(wait).rejects.toThrow('has not got the release from Git yet')
    return begun
  }

  test('says what to commit, in the log, in the outputs and as a file, and writes nothing', async () => {
    const { context, notes, writes } = await awaitCommit()
    const { image, patch } = outputsOf(context.recorder.current(), {})
    expect(image).toBe('registry.test/till:2')
    expect(notes.at(-1)).toBe(`commit for till: registry.test/till:2; as a patch: ${String(patch)}`)
    expect(load(readFileSync(String(patch), 'utf8'))).toMatchObject({
      metadata: { name: 'till', namespace: 'shop' },
      spec: { template: { spec: { containers: [{ name: 'app', image }] } } },
    })
    expect(writes).toEqual([])
  })

  test('is completed by the next run, which never writes stable either', async () => {
    const { get } = await awaitCommit()
    const committed = get('Deployment', 'till') as Workload
    committed.spec.template.spec.containers[0]!.image = 'registry.test/till:2'
    const canary = get('Deployment', 'till-canary')!
    const second = begin([committed, bySubset, canary], `canary: { service: till, ${next}, after: gitops }`)
    const { whyIdle } = await prepareReleases(await second.plan())
    expect(whyIdle('till')).toContain('the canary that an earlier run left is removed')
    expect(second.writes).toEqual(['remove Deployment till-canary uid-of-till-canary'])
  })
})

describe('the subset of stable', () => {
  /** The labels of the subset in the DestinationRule that the policies of this config make. */
  const labelsIn = (config: Config | undefined) => {
    const rules = desired(config!).objects.filter((each) => each.kind === 'DestinationRule') as DestinationRule[]
    return rules.flatMap(({ spec }) => spec.subsets ?? []).find(({ name }) => name === 'stable')?.labels
  }

  test('opens again when the canary is gone, and not before; the next release closes it again', async () => {
    const { plan, cluster, get } = begin([versioned('7'), bySubset])
    const context = await plan()
    await prepareReleases(context)
    expect(labelsIn(context.config)).toEqual({ version: '7' })
    expect(await configAtRest(context)).toBeUndefined()
    await cluster.remove('Deployment', 'shop', 'till-canary')
    expect(labelsIn(await configAtRest(context))).toEqual({})
    const next = begin(
      [get('Deployment', 'till')!, bySubset],
      'canary: { service: till, image: "registry.test/till:9" }',
    )
    expect(labelsIn((await next.plan()).config)).toEqual({ version: '7' })
  })

  test('opens after a rollback that keeps the canary without pods', async () => {
    const { plan, cluster, get } = begin([versioned('7'), bySubset], `canary: { service: till, ${next}, onFail: keep }`)
    const context = await plan()
    const canary = (await prepareReleases(context)).created('till')!
    await canary.cleanUp()
    // The fake does not carry out a merge.
    await cluster.apply({ ...get('Deployment', 'till-canary')!, spec: { replicas: 0 } } as KubeObject)
    expect(labelsIn(await configAtRest(context))).toEqual({})
  })

  test('stays closed while the canary is held with traffic, and for the run that continues', async () => {
    const { plan, get } = begin([versioned('7'), bySubset])
    const context = await plan()
    await prepareReleases(context)
    expect(await configAtRest(context)).toBeUndefined()
    const later = begin([versioned('7'), bySubset, get('Deployment', 'till-canary')!])
    expect(labelsIn((await later.plan()).config)).toEqual({ version: '7' })
  })
})
