import { describe, expect, test } from 'vitest'
import type { KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { createdCanary } from '../../../src/release/adoption.ts'
import { createCanary, waitForPods } from '../../../src/release/canary.ts'
import { planRelease } from '../../../src/release/plan.ts'
import { protectionOf } from '../../../src/release/protection.ts'
import { stringify } from '../../../src/yaml/stringify.ts'
import { FakeClock } from '../fake-clock.ts'
import { fileWith } from '../fixtures.ts'
import { clusterOf, deployment, service } from './fixtures.ts'

const object = (kind: string, name: string, spec: object): KubeObject =>
  ({ apiVersion: apiVersions[kind]!, kind, metadata: { name, namespace: 'shop' }, spec }) as KubeObject
const apiVersions: Record<string, string> = {
  NetworkPolicy: 'networking.k8s.io/v1',
  CiliumNetworkPolicy: 'cilium.io/v2',
  DestinationRule: 'networking.istio.io/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
}
const walls = object('NetworkPolicy', 'walls', { podSelector: { matchLabels: { app: 'till' } }, ingress: [] })

const canaryDeps = {
  note: () => undefined,
  warn: () => undefined,
  signal: new AbortController().signal,
  clock: new FakeClock(),
  publish: () => undefined,
}

/** A cluster with a release under way, and what it plans. */
async function begin(objects: KubeObject[], release = 'image: "registry.test/till:2"', forbidden: string[] = []) {
  const fake = clusterOf([service({ app: 'till' }), ...objects], forbidden)
  const { canary } = loadConfig({ INPUT_CANARY: `{ service: till, ${release} }` })
  const plan = async () => (await planRelease(fake.cluster, 'shop', 'canary', canary!))!
  return { ...fake, plan, release: await plan() }
}

describe('a canary is created', () => {
  test('without pods first, then with what protects it, and only then with its pods', async () => {
    const { cluster, writes, release, get } = await begin([deployment(), walls])
    const created = await createCanary(cluster, release)
    expect(writes).toEqual([
      'apply Deployment till-canary × 0',
      'apply NetworkPolicy walls-till-canary',
      'apply Deployment till-canary × 2',
    ])
    expect(created.spec.replicas).toBe(2)
    expect(get('NetworkPolicy', 'walls-till-canary')).toMatchObject({
      metadata: { ownerReferences: [{ kind: 'Deployment', name: 'till-canary', uid: 'uid-of-till-canary' }] },
      spec: { podSelector: { matchLabels: { app: 'till-canary' } } },
    })
  })

  test('a running one keeps its pods', async () => {
    const { cluster, writes, release, plan } = await begin([deployment()])
    await createCanary(cluster, release)
    writes.length = 0
    await createCanary(cluster, await plan())
    expect(writes).toEqual(['apply Deployment till-canary × 2'])
  })

  test('with an autoscaler of its own, which never goes below the replicas that it starts with', async () => {
    const scaler = object('HorizontalPodAutoscaler', 'till', {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'till' },
      minReplicas: 1,
      maxReplicas: 9,
      metrics: [],
    })
    const { cluster, release, get } = await begin([deployment(), scaler])
    await createCanary(cluster, release)
    expect(get('HorizontalPodAutoscaler', 'till-canary')).toMatchObject({
      spec: { scaleTargetRef: { name: 'till-canary' }, minReplicas: 2, maxReplicas: 9 },
    })
  })

  test('never over an object of someone else', async () => {
    const { cluster, release, writes } = await begin([
      deployment(),
      walls,
      object('NetworkPolicy', 'walls-till-canary', {}),
    ])
    await expect(createCanary(cluster, release)).rejects.toThrow(
      'the canary needs the NetworkPolicy shop/walls-till-canary, and one of that name exists that is not of this canary',
    )
    expect(writes).toEqual([])
  })
})

describe('the pods of a canary', () => {
  const { signal } = new AbortController()
  const event = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e', namespace: 'shop' },
    involvedObject: { kind: 'ReplicaSet', name: 'till-canary-5d9c8b7f6' },
    reason: 'FailedCreate',
    message: 'pods "till-canary-5d9c8b7f6-" is forbidden: exceeded quota: team',
  }

  test('are waited for until all of them exist', async () => {
    const { cluster, release } = await begin([deployment()])
    await expect(waitForPods(cluster, await createCanary(cluster, release), 0, signal)).resolves.toBeUndefined()
  })

  test('are missed with the cause', async () => {
    const created = { ...deployment('till-canary'), status: { replicas: 1 } }
    const { cluster } = clusterOf([created, event])
    await expect(waitForPods(cluster, created, 0, signal)).rejects.toThrow(
      /^Deployment\/till-canary has 1 of 2 pods after 0 s: no pod can be created: pods .* exceeded quota: team/,
    )
  })
})

describe('the protection of a canary', () => {
  test("a user's rule for the host of stable is copied for the canary's host", async () => {
    const rule = object('DestinationRule', 'till', { host: 'till', trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } })
    const { cluster, release } = await begin([deployment(), rule])
    expect((await protectionOf(cluster, release)).copies).toMatchObject([
      {
        metadata: { name: 'till-canary' },
        spec: { host: 'till-canary.shop.svc.cluster.local', trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } } },
      },
    ])
  })

  test('an account that may not read what protects stable gets an error, for other kinds a note', async () => {
    const { cluster, release } = await begin([deployment()], undefined, ['NetworkPolicy', 'PodMonitor'])
    const { faults, unseen } = await protectionOf(cluster, release)
    expect(faults).toEqual([expect.stringContaining('the run may not read objects of the kind NetworkPolicy')])
    expect(unseen).toEqual(['PodMonitor in shop'])
  })
})

describe('the network policies of Cilium and Calico', () => {
  const cilium = object('CiliumNetworkPolicy', 'walls', { endpointSelector: { matchLabels: { app: 'till' } } })
  const forbidden = ['CiliumNetworkPolicy', 'NetworkPolicy.projectcalico.org', 'GlobalNetworkPolicy.projectcalico.org']

  test('protect the canary too', async () => {
    const { cluster, release } = await begin([deployment(), cilium])
    expect((await protectionOf(cluster, release)).copies).toMatchObject([{ metadata: { name: 'walls-till-canary' } }])
  })

  test('are missed by nobody in a cluster that does not have these kinds', async () => {
    const { cluster, release } = await begin([deployment()], undefined, forbidden)
    const serves = () => Promise.resolve(false)
    expect(await protectionOf({ ...cluster, serves }, release)).toMatchObject({ faults: [], unseen: [] })
  })

  test('have to be readable where they exist, under one of their names', async () => {
    const { cluster, release } = await begin([deployment()], undefined, forbidden)
    const { faults } = await protectionOf(cluster, release)
    expect(faults).toEqual([expect.stringContaining('objects of the kind CiliumNetworkPolicy')])
    const both = await begin([deployment()], undefined, [...forbidden, 'NetworkPolicy.crd.projectcalico.org'])
    expect((await protectionOf(both.cluster, both.release)).faults).toHaveLength(2)
  })

  test.each(['CiliumClusterwideNetworkPolicy', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'])(
    'for the whole cluster are noted if the account may not read them: %s',
    async (kind) => {
      const { cluster, release } = await begin([deployment()], undefined, [kind])
      expect(await protectionOf(cluster, release)).toMatchObject({ faults: [], unseen: [kind] })
    },
  )

  test('may select by the service account', async () => {
    const selector = "projectcalico.org/serviceaccount == 'desk' && app == 'till'"
    const policy = { ...object('NetworkPolicy', 'walls', { selector }), apiVersion: 'projectcalico.org/v3' }
    const list = (kind: string) =>
      Promise.resolve((kind === 'NetworkPolicy.projectcalico.org' ? [policy] : []) as never)
    const { cluster, release } = await begin([deployment()])
    expect((await protectionOf({ ...cluster, list }, release)).faults).toEqual([])
    release.stable.spec.template.spec.serviceAccountName = 'desk'
    expect((await protectionOf({ ...cluster, list }, release)).faults).toHaveLength(1)
  })
})

describe('after its promotion', () => {
  const reading = (version: string): Workload =>
    deployment('till', { app: 'till', version }, { volumes: [{ name: 'config', configMap: { name: 'rates' } }] })
  const rates = (data: object) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'rates', namespace: 'shop' },
    data,
  })
  const rule = object('DestinationRule', 'till', {
    host: 'till.shop.svc.cluster.local',
    subsets: [
      { name: 'stable', labels: { version: '1' } },
      { name: 'canary', labels: { 'mesh-canary.io/canary': 'till' } },
    ],
  })

  async function promoted() {
    const file = fileWith([reading('2'), rates({ rate: '8' })].map(stringify).join('---\n'), 'till.yaml')
    const begun = await begin([reading('1'), rates({ rate: '7', old: 'x' }), rule], `manifests: ${file}`)
    const created = await createCanary(begun.cluster, begun.release)
    return { ...begun, canary: createdCanary(begun.cluster, begun.release, created, canaryDeps) }
  }

  test('stable gets the template, all of the new data, and a subset with its new label', async () => {
    const { canary, get } = await promoted()
    expect(canary.adoption.templateFor(reading('1')).metadata?.labels).toEqual({ app: 'till', version: '2' })
    await canary.adoption.writeConfigs()
    expect(get('ConfigMap', 'rates')).toMatchObject({ data: { rate: '8' } })
    expect(get('ConfigMap', 'rates')).not.toHaveProperty('data.old')
    await canary.adoption.updateSubset(reading('2'))
    expect(get('DestinationRule', 'till')).toMatchObject({ spec: { subsets: [{ labels: { version: '2' } }, {}] } })
  })

  test('the old data comes back if stable cannot take over', async () => {
    const { canary, get } = await promoted()
    const undo = await canary.adoption.writeConfigs()
    await undo()
    expect(get('ConfigMap', 'rates')).toMatchObject({ data: { rate: '7', old: 'x' } })
  })

  test('the old data comes back if not all of the new can be written', async () => {
    const { cluster, release, get } = await promoted()
    const banner = { ...rates({ text: 'new' }), metadata: { name: 'banner', namespace: 'shop' } }
    await cluster.create({ ...banner, data: { text: 'old' } } as KubeObject)
    const patch: typeof cluster.patch = (kind, namespace, name, operations) =>
      name === 'banner' ? Promise.reject(new Error('refused')) : cluster.patch(kind, namespace, name, operations)
    const both = { ...release, configs: { canary: [], stable: [...release.configs.stable, banner] } }
    const { adoption } = createdCanary({ ...cluster, patch }, both, deployment('till-canary'), canaryDeps)
    await expect(adoption.writeConfigs()).rejects.toThrow('refused')
    expect(get('ConfigMap', 'rates')).toMatchObject({ data: { rate: '7', old: 'x' } })
  })

  test('a Deployment that someone changed meanwhile is left alone', async () => {
    const { canary } = await promoted()
    expect(() => canary.adoption.templateFor(reading('1.1'))).toThrow('was changed during the release')
  })

  test('it is removed, and only it', async () => {
    const { canary, writes } = await promoted()
    expect(await canary.adoption.remove()).toBe('Deployment/till-canary is removed')
    expect(writes.at(-1)).toBe('remove Deployment till-canary uid-of-till-canary')
  })
})

test.each([
  ['image: "registry.test/till:2"', 'remove Deployment till-canary uid-of-till-canary'],
  ['image: "registry.test/till:2", onFail: delete', 'remove Deployment till-canary uid-of-till-canary'],
  ['image: "registry.test/till:2", onFail: keep', 'merge Deployment till-canary {"spec":{"replicas":0}}'],
])('after a rollback with { %s }: %s', async (plan, write) => {
  const { cluster, release, writes } = await begin([deployment()], plan)
  await createdCanary(cluster, release, await createCanary(cluster, release), canaryDeps).cleanUp()
  expect(writes.at(-1)).toBe(write)
})
