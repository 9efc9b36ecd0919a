import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { apply, type Change } from '../../../src/policies/apply.ts'
import { plan } from '../../../src/policies/plan.ts'
import { ownerOf } from '../../../src/policies/prune.ts'
import { keeper, policy, route, rule, subsets, type Keeper, type Policy } from './keeper.ts'

const ours = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const owner = ownerOf('shop', 'shop')

function watcher(happened: string[]) {
  return () => {
    happened.push('look at the proxies')
    return Promise.resolve(() => Promise.resolve(happened.push('proxies have it')))
  }
}

/** Plans and applies; the notes are of this apply alone. */
async function applied(
  { cluster, happened }: Keeper,
  objects: KubeObject[],
): Promise<{ changes: Change[]; happened: string[] }> {
  const planned = await plan(cluster, objects, owner)
  happened.length = 0
  const changes: Change[] = []
  await apply(cluster, planned, watcher(happened), (change) => changes.push(change))
  return { changes, happened: [...happened] }
}

const named =
  (name: string, namespace = 'shop') =>
  (kind: string, action: Change['action']): Change => ({ kind, namespace, name, action })
const backend = named('backend')

describe('the order of the writes', () => {
  const mtls = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })

  test('subsets before the weights that use them, with the proxies having them in between', async () => {
    const { changes, happened } = await applied(keeper(), [route(['v1', 80], ['v2', 20]), mtls, rule('v1', 'v2')])
    expect(happened).toEqual([
      'PeerAuthentication',
      'look at the proxies',
      'DestinationRule',
      'proxies have it',
      'VirtualService',
    ])
    expect(changes).toEqual([
      named('default')('PeerAuthentication', 'created'),
      backend('DestinationRule', 'created'),
      backend('VirtualService', 'created'),
    ])
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
    const noting = {
      ...cluster,
      apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (
        dryRun || written.push((object as unknown as Policy).spec['subsets'] ?? 'route'),
        cluster.apply(object, force, dryRun)
      ),
    }
    const { changes, happened } = await applied({ ...world, cluster: noting }, [
      rule('v2', 'v3'),
      route(['v2', 50], ['v3', 50]),
    ])
    expect(happened).toEqual([
      'look at the proxies',
      'DestinationRule',
      'proxies have it',
      'look at the proxies',
      'VirtualService',
      'proxies have it',
      'DestinationRule',
    ])
    expect(written).toEqual([subsets('v2', 'v3', 'v1'), 'route', subsets('v2', 'v3')])
    expect(changes).toEqual([backend('DestinationRule', 'changed'), backend('VirtualService', 'changed')])
  })

  test('all that is asked for no more goes: routes, then rules, then the rest', async () => {
    const world = keeper()
    await applied(world, [mtls, rule('v1'), route(['v1', 100])])
    const { changes, happened } = await applied(world, [])
    expect(happened).toEqual([
      'look at the proxies',
      'remove VirtualService',
      'proxies have it',
      'remove DestinationRule',
      'remove PeerAuthentication',
    ])
    expect(changes.map(({ action }) => action)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(world.kept.size).toBe(0)
  })

  test('a host outside the mesh goes when the proxies have the routes that do without it', async () => {
    const world = keeper()
    await applied(world, [policy('ServiceEntry', 'api', { hosts: ['api.example.com'] }), route(['v1', 100])])
    const { happened } = await applied(world, [route(['v2', 100])])
    expect(happened).toEqual(['look at the proxies', 'VirtualService', 'proxies have it', 'remove ServiceEntry'])
  })

  test('what lets callers in comes before what shuts out all the rest, and goes after it', async () => {
    const world = keeper()
    const policies = [
      policy('AuthorizationPolicy', 'deny-all', {}),
      policy('AuthorizationPolicy', 'allow', { rules: [{}] }),
    ]
    const order: string[] = []
    const note = (verb: string, name: string) => void order.push(`${verb} ${name}`)
    const noting = {
      ...world.cluster,
      apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (
        dryRun || note('apply', object.metadata.name), world.cluster.apply(object, force, dryRun)
      ),
      remove: (...args: Parameters<Cluster['remove']>) => (note('remove', args[2]), world.cluster.remove(...args)),
    }
    await applied({ ...world, cluster: noting }, policies)
    await applied({ ...world, cluster: noting }, [])
    expect(order).toEqual(['apply allow', 'apply deny-all', 'remove deny-all', 'remove allow'])
  })
})

describe('an apply that fails half-way', () => {
  const mtls = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })
  const busy = new ApiError(503, 'the server is busy')
  /** The keeper, whose server fails at what is written to such an object. */
  function failingAt({ cluster, ...rest }: Keeper, kind: string, spec: unknown): Keeper {
    const fails = (object: KubeObject) => object.kind === kind && isDeepStrictEqual((object as Policy).spec, spec)
    const apply: Cluster['apply'] = (object, force, dryRun) =>
      fails(object) && !dryRun ? Promise.reject(busy) : cluster.apply(object, force, dryRun)
    return { ...rest, cluster: { ...cluster, apply } }
  }
  async function failure(
    { cluster, happened }: Keeper,
    objects: KubeObject[],
  ): Promise<{ changes: Change[]; message: string }> {
    const changes: Change[] = []
    const error: unknown = await apply(cluster, await plan(cluster, objects, owner), watcher(happened), (change) =>
      changes.push(change),
    ).catch((reason: unknown) => reason)
    return { changes, message: (error as Error).message }
  }

  test('tells what was written and what was not, and the next one carries on', async () => {
    const world = keeper()
    const objects = [mtls, rule('v1', 'v2'), route(['v1', 80], ['v2', 20])]
    const { changes, message } = await failure(
      failingAt(world, 'VirtualService', route(['v1', 80], ['v2', 20]).spec),
      objects,
    )
    expect(message).toBe(
      'VirtualService shop/backend: the server is busy; done before: PeerAuthentication shop/default, DestinationRule shop/backend; not done: VirtualService shop/backend. Fix the cause and run again: the run continues from there',
    )
    expect(changes).toEqual([named('default')('PeerAuthentication', 'created'), backend('DestinationRule', 'created')])
    expect((await applied(world, objects)).changes).toEqual([backend('VirtualService', 'created')])
  })

  test('also where a rule is written twice: it stays with the subset that is to go, and loses it the next time', async () => {
    const world = keeper()
    await applied(world, [rule('v1', 'v2'), route(['v1', 80], ['v2', 20])])
    const objects = [rule('v2'), route(['v2', 100])]
    const { changes, message } = await failure(failingAt(world, 'DestinationRule', rule('v2').spec), objects)
    expect(message).toContain(
      'done before: DestinationRule shop/backend, VirtualService shop/backend; not done: DestinationRule shop/backend.',
    )
    expect(changes).toEqual([backend('DestinationRule', 'changed'), backend('VirtualService', 'changed')])
    expect((await applied(world, objects)).changes).toEqual([backend('DestinationRule', 'changed')])
  })

  test('before anything was written says so', async () => {
    const { changes, message } = await failure(failingAt(keeper(), 'PeerAuthentication', mtls.spec), [mtls])
    expect(message).toContain('done before: nothing; not done: PeerAuthentication shop/default.')
    expect(changes).toEqual([])
  })
})

describe('a field that another manager owns', () => {
  const conflict = (...managers: string[]) =>
    new ApiError(
      409,
      'Apply failed',
      managers.map((manager) => `conflict with "${manager}" using networking.istio.io/v1`),
    )
  const refusing = (...managers: string[]) =>
    keeper([], (object, force) => (object.kind === 'VirtualService' && !force ? conflict(...managers) : undefined))

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

  test.each([[['argocd']], [['mesh-canary', 'argocd']]])(
    'is left to %j, who is named before anything is written',
    async (managers) => {
      const world = refusing(...managers)
      await expect(applied(world, [rule('v1'), route(['v1', 100])])).rejects.toThrow(
        /^VirtualService shop\/backend has fields that another manager owns: .*conflict with "argocd".*; remove them there, or here$/,
      )
      expect(world.happened).toEqual([])
    },
  )
})
