import { describe, expect, test } from 'vitest'
import { ApiError, type Cluster } from '../../../src/cluster/client.ts'
import type { DestinationRule, KubeObject } from '../../../src/cluster/objects.ts'
import { apply, liveWeights, orphans, readLive, strangers, type Change, type Live } from '../../../src/policies/apply.ts'
import { plan } from '../../../src/policies/plan.ts'
import { ownerOf } from '../../../src/policies/prune.ts'
import { clusterWith, configOf, to, virtualService } from '../fixtures.ts'
import { keeper, policy, route, rule, subsets, type Keeper, type Policy } from './keeper.ts'

const nothingLive: Live = { virtualServices: [], destinationRules: [] }
const ours = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const canary = configOf('namespace: shop\nmtls: strict\ncanary: { service: backend }')
const owner = ownerOf('shop', 'shop')

function watcher(happened: string[]) {
  return () => {
    happened.push('look at the proxies')
    return Promise.resolve(() => Promise.resolve(happened.push('proxies have it')))
  }
}

/** Plans and applies; the notes are of this apply alone. */
async function applied({ cluster, happened }: Keeper, objects: KubeObject[]): Promise<{ changes: Change[]; happened: string[] }> {
  const planned = await plan(cluster, objects, owner)
  happened.length = 0
  return { changes: await apply(cluster, planned, watcher(happened)), happened: [...happened] }
}

const named = (name: string, namespace = 'shop') => (kind: string, action: Change['action']): Change => ({ kind, namespace, name, action })
const backend = named('backend')

describe('the order of the writes', () => {
  const mtls = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })

  test('subsets before the weights that use them, with the proxies having them in between', async () => {
    const { changes, happened } = await applied(keeper(), [route(['v1', 80], ['v2', 20]), mtls, rule('v1', 'v2')])
    expect(happened).toEqual(['PeerAuthentication', 'look at the proxies', 'DestinationRule', 'proxies have it', 'VirtualService'])
    expect(changes).toEqual([backend('VirtualService', 'created'), named('default')('PeerAuthentication', 'created'), backend('DestinationRule', 'created')])
  })

  test('a second run changes nothing, writes nothing and waits for nobody', async () => {
    const world = keeper()
    const objects = [mtls, rule('v1'), route(['v1', 100])]
    await applied(world, objects)
    expect(await applied(world, objects)).toEqual({ changes: [], happened: [] })
  })

  test('a subset that goes is kept until the proxies have the route that does without it', async () => {
    const world = keeper()
    await applied(world, [rule('v1', 'v2'), route(['v1', 80], ['v2', 20])])
    const written: unknown[] = []
    const { cluster } = world
    const noting = { ...cluster, apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (dryRun || written.push((object as unknown as Policy).spec['subsets'] ?? 'route'), cluster.apply(object, force, dryRun)) }
    const { changes, happened } = await applied({ ...world, cluster: noting }, [rule('v2', 'v3'), route(['v2', 50], ['v3', 50])])
    expect(happened).toEqual(['look at the proxies', 'DestinationRule', 'proxies have it', 'look at the proxies', 'VirtualService', 'proxies have it', 'DestinationRule'])
    expect(written).toEqual([subsets('v2', 'v3', 'v1'), 'route', subsets('v2', 'v3')])
    expect(changes).toEqual([backend('DestinationRule', 'changed'), backend('VirtualService', 'changed')])
  })

  test('all that is asked for no more goes: routes, then rules, then the rest', async () => {
    const world = keeper()
    await applied(world, [mtls, rule('v1'), route(['v1', 100])])
    const { changes, happened } = await applied(world, [])
    expect(happened).toEqual(['look at the proxies', 'remove VirtualService', 'proxies have it', 'remove DestinationRule', 'remove PeerAuthentication'])
    expect(changes.map(({ action }) => action)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(world.kept.size).toBe(0)
  })

  test('what lets callers in comes before what shuts out all the rest, and goes after it', async () => {
    const world = keeper()
    const policies = [policy('AuthorizationPolicy', 'deny-all', {}), policy('AuthorizationPolicy', 'allow', { rules: [{}] })]
    const order: string[] = []
    const note = (verb: string, name: string) => void order.push(`${verb} ${name}`)
    const noting = {
      ...world.cluster,
      apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (dryRun || note('apply', object.metadata.name), world.cluster.apply(object, force, dryRun)),
      remove: (...args: Parameters<Cluster['remove']>) => (note('remove', args[2]), world.cluster.remove(...args)),
    }
    await applied({ ...world, cluster: noting }, policies)
    await applied({ ...world, cluster: noting }, [])
    expect(order).toEqual(['apply allow', 'apply deny-all', 'remove deny-all', 'remove allow'])
  })
})

describe('a version that holds traffic and that the config does not define', () => {
  const splitting = (...weights: [string, number][]): Live => ({ ...nothingLive, virtualServices: [virtualService([{ route: weights.map(([subset, weight]) => to(subset, weight)) }], { labels: ours })] })
  const second = 'canary: { service: backend, stable: v2, canary: v3 }'

  test.each<[string, string, Live, string[]]>([
    ['is named', 'services: { backend: { subsets: { v2: {} } } }', splitting(['v1', 30], ['v2', 70]), ['v1 holds 30%']],
    ['is named, each', 'services: { backend: { timeout: 1s } }', splitting(['v1', 30], ['v2', 70]), ['v1 holds 30%', 'v2 holds 70%']],
    ['is named before a canary', second, splitting(['v1', 20], ['v2', 80]), ['v1 holds 20%']],
    ['is named before a canary, also where traffic is stated', `${second}\nservices: { backend: { subsets: { v2: {} }, traffic: { v2: 100 } } }`, splitting(['v1', 20], ['v2', 80]), ['v1 holds 20%']],
    ['is none where traffic is stated', 'services: { backend: { subsets: { v2: {} }, traffic: { v2: 100 } } }', splitting(['v1', 30], ['v2', 70]), []],
    ['is none without weight', second, splitting(['v1', 0], ['v2', 100]), []],
    ['is none where nothing is split yet', second, nothingLive, []],
  ])('%s', (_, yaml, live, named) => {
    const faults = orphans(configOf(`namespace: shop\n${yaml}`), live)
    expect(faults).toHaveLength(named.length)
    named.forEach((name, i) => expect(faults[i]).toContain(`services.backend.subsets: the subset ${name} of the traffic now and is not defined here`))
  })
})

test('a route for a few, which names only the canary, is not taken for the weights in force', () => {
  const live = virtualService([{ match: [{ headers: {} }], route: [to('v2', 100)] }, { route: [to('v1', 95), to('v2', 5)] }], { labels: ours })
  expect(liveWeights(canary, { ...nothingLive, virtualServices: [live] })).toEqual({ backend: { v1: 95, v2: 5 } })
})

describe('a field that somebody else owns', () => {
  const conflict = (...managers: string[]) => new ApiError(409, 'Apply failed', managers.map((manager) => `conflict with "${manager}" using networking.istio.io/v1`))
  const refusing = (...managers: string[]) => keeper([], (object, force) => (object.kind === 'VirtualService' && !force ? conflict(...managers) : undefined))

  test('is taken back when that is our own promotion', async () => {
    const { happened } = await applied(refusing('mesh-canary'), [route(['v1', 100])])
    expect(happened.slice(-2)).toEqual(['VirtualService refused', 'VirtualService by force'])
  })

  test('is taken when the object was handed over, and only then', async () => {
    const handedOver = policy('VirtualService', 'backend', { hosts: ['backend'] }, { labels: ours })
    const world = keeper([handedOver], (_, force) => (force ? undefined : conflict('kubectl-create')))
    const { happened } = await applied(world, [route(['v1', 100])])
    expect(happened).toEqual(['VirtualService by force'])
    await expect(applied(world, [route(['v2', 100])])).rejects.toThrow('conflict with "kubectl-create"')
  })

  test.each([[['argocd']], [['mesh-canary', 'argocd']]])('is left to %j, who is named before anything is written', async (managers) => {
    const world = refusing(...managers)
    await expect(applied(world, [rule('v1'), route(['v1', 100])])).rejects.toThrow(/^VirtualService shop\/backend has fields that somebody else owns: .*conflict with "argocd".*; remove them there, or here$/)
    expect(world.happened).toEqual([])
  })
})

describe("somebody else's objects for the same host", () => {
  const rule = (host: string, labels = {}): DestinationRule => ({ apiVersion: 'networking.istio.io/v1', kind: 'DestinationRule', metadata: { name: 'theirs', namespace: 'shop', labels }, spec: { host } })
  const route = [{ route: [to('v1')] }]

  test.each<[string, Live, string[]]>([
    ['a VirtualService', { ...nothingLive, virtualServices: [virtualService(route, { name: 'theirs' })] }, ['VirtualService shop/theirs']],
    ['a DestinationRule', { ...nothingLive, destinationRules: [rule('backend.shop')] }, ['DestinationRule shop/theirs']],
    ['our own', { virtualServices: [virtualService(route, { labels: ours })], destinationRules: [rule('backend', ours)] }, []],
    ['those of another host', { virtualServices: [], destinationRules: [rule('frontend')] }, []],
  ])('%s', (_, live, named) => {
    const faults = strangers(canary, live)
    expect(faults).toHaveLength(named.length)
    named.forEach((name, i) => {
      expect(faults[i]).toContain(`the host backend.shop.svc.cluster.local already has the ${name}, which is not ours`)
      expect(faults[i]).toContain('label it app.kubernetes.io/managed-by=mesh-canary')
    })
  })
})

describe('what is in the cluster', () => {
  const listing = (error: ApiError) => clusterWith({ list: () => Promise.reject(error) })

  test('is nothing where Istio is not installed yet', async () => {
    expect(await readLive(listing(new ApiError(404, 'the server could not find the requested resource')), 'shop')).toEqual(nothingLive)
  })

  test('is not guessed where it may not be read', async () => {
    await expect(readLive(listing(new ApiError(403, 'forbidden')), 'shop')).rejects.toThrow('forbidden')
  })
})
