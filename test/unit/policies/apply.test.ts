import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { apply, type Change } from '../../../src/policies/apply.ts'
import { planChanges } from '../../../src/policies/plan.ts'
import { ownerNamed } from '../fixtures.ts'
import {
  recordingCluster,
  policy,
  route,
  rule,
  subsets,
  type RecordingCluster,
  type Policy,
} from './recording-cluster.ts'

const managed = { 'app.kubernetes.io/managed-by': 'mesh-canary' }
const owner = ownerNamed('shop')

function recordProxies(calls: string[]) {
  return () => {
    calls.push('look at the proxies')
    return Promise.resolve(() => Promise.resolve(calls.push('proxies have it')))
  }
}

/** What `recordProxies` records around these writes. */
const settled = (...writes: string[]) => ['look at the proxies', ...writes, 'proxies have it']

/** Plans and applies; `calls` holds only the calls of this apply. */
async function applied(
  { cluster, calls }: RecordingCluster,
  objects: KubeObject[],
): Promise<{ changes: Change[]; calls: string[] }> {
  const planned = await planChanges(cluster, objects, owner)
  calls.length = 0
  const changes: Change[] = []
  await apply(cluster, planned, recordProxies(calls), (change) => changes.push(change))
  return { changes, calls: [...calls] }
}

const named =
  (name: string, namespace = 'shop') =>
  (kind: string, action: Change['action']): Change => ({ kind, namespace, name, action })
const backend = named('backend')

describe('apply', () => {
  const mtls = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })

  test('waits until the proxies have the subsets before it writes the weights that use them', async () => {
    const { changes, calls } = await applied(recordingCluster(), [
      route(['v1', 80], ['v2', 20]),
      mtls,
      rule('v1', 'v2'),
    ])
    expect(calls).toEqual(['PeerAuthentication', 'DestinationRule', 'VirtualService'].flatMap((call) => settled(call)))
    expect(changes).toEqual([
      named('default')('PeerAuthentication', 'created'),
      backend('DestinationRule', 'created'),
      backend('VirtualService', 'created'),
    ])
  })

  test('changes nothing, writes nothing and does not wait in a second run', async () => {
    const fake = recordingCluster()
    const objects = [mtls, rule('v1'), route(['v1', 100])]
    await applied(fake, objects)
    expect(await applied(fake, objects)).toEqual({ changes: [], calls: [] })
  })

  test('keeps a removed subset until the proxies have the route without it', async () => {
    const fake = recordingCluster()
    await applied(fake, [rule('v1', 'v2'), route(['v1', 80], ['v2', 20])])
    const written: unknown[] = []
    const { cluster } = fake
    const recording = {
      ...cluster,
      apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (
        dryRun || written.push((object as unknown as Policy).spec['subsets'] ?? 'route'),
        cluster.apply(object, force, dryRun)
      ),
    }
    const { changes, calls } = await applied({ ...fake, cluster: recording }, [
      rule('v2', 'v3'),
      route(['v2', 50], ['v3', 50]),
    ])
    expect(calls).toEqual(['DestinationRule', 'VirtualService', 'DestinationRule'].flatMap((call) => settled(call)))
    expect(written).toEqual([subsets('v2', 'v3', 'v1'), 'route', subsets('v2', 'v3')])
    expect(changes).toEqual([backend('DestinationRule', 'changed'), backend('VirtualService', 'changed')])
  })

  test('deletes routes first, then rules, then the rest', async () => {
    const fake = recordingCluster()
    await applied(fake, [mtls, rule('v1'), route(['v1', 100])])
    const { changes, calls } = await applied(fake, [])
    expect(calls).toEqual([
      ...settled('remove VirtualService'),
      ...settled('remove DestinationRule', 'remove PeerAuthentication'),
    ])
    expect(changes.map(({ action }) => action)).toEqual(['deleted', 'deleted', 'deleted'])
    expect(fake.stored.size).toBe(0)
  })

  test('deletes a ServiceEntry once the proxies have the routes that do not use it', async () => {
    const fake = recordingCluster()
    await applied(fake, [policy('ServiceEntry', 'api', { hosts: ['api.example.com'] }), route(['v1', 100])])
    const { calls } = await applied(fake, [route(['v2', 100])])
    expect(calls).toEqual(['VirtualService', 'remove ServiceEntry'].flatMap((call) => settled(call)))
  })

  test('ends once the proxies have what it removed last', async () => {
    const fake = recordingCluster()
    await applied(fake, [policy('RequestAuthentication', 'jwt', {})])
    expect((await applied(fake, [])).calls).toEqual(settled('remove RequestAuthentication'))
  })

  test.each([
    policy('Gateway', 'web', {}),
    policy('VirtualService', 'web', { gateways: ['web'] }),
    { ...policy('HTTPRoute', 'web', { parentRefs: [{ name: 'web' }] }), apiVersion: 'gateway.networking.k8s.io/v1' },
  ])('does not wait for the sidecars when istiod sends it to gateways only: $kind', async (object) => {
    expect((await applied(recordingCluster(), [object])).calls).toEqual([object.kind])
  })

  test('writes the policy that allows callers before the one that denies the rest, and deletes it after that one', async () => {
    const fake = recordingCluster()
    const policies = [
      policy('AuthorizationPolicy', 'deny-all', {}),
      policy('AuthorizationPolicy', 'allow', { rules: [{}] }),
    ]
    const order: string[] = []
    const record = (verb: string, name: string) => void order.push(`${verb} ${name}`)
    const recording = {
      ...fake.cluster,
      apply: <T extends KubeObject>(object: T, force?: boolean, dryRun?: boolean) => (
        dryRun || record('apply', object.metadata.name), fake.cluster.apply(object, force, dryRun)
      ),
      remove: (...args: Parameters<Cluster['remove']>) => (record('remove', args[2]), fake.cluster.remove(...args)),
    }
    await applied({ ...fake, cluster: recording }, policies)
    await applied({ ...fake, cluster: recording }, [])
    expect(order).toEqual(['apply allow', 'apply deny-all', 'remove deny-all', 'remove allow'])
  })
})

describe('an apply that fails half-way', () => {
  const mtls = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })
  const busy = new ApiError(503, 'the server is busy')
  /** A cluster that refuses to write an object of this kind with this spec. */
  function failingAt({ cluster, ...rest }: RecordingCluster, kind: string, spec: unknown): RecordingCluster {
    const fails = (object: KubeObject) => object.kind === kind && isDeepStrictEqual((object as Policy).spec, spec)
    const apply: Cluster['apply'] = (object, force, dryRun) =>
      fails(object) && !dryRun ? Promise.reject(busy) : cluster.apply(object, force, dryRun)
    return { ...rest, cluster: { ...cluster, apply } }
  }
  async function failure(
    { cluster, calls }: RecordingCluster,
    objects: KubeObject[],
  ): Promise<{ changes: Change[]; message: string }> {
    const changes: Change[] = []
    const error: unknown = await apply(
      cluster,
      await planChanges(cluster, objects, owner),
      recordProxies(calls),
      (change) => changes.push(change),
    ).catch((reason: unknown) => reason)
    return { changes, message: (error as Error).message }
  }

  test('reports what it wrote and what it did not, and the next apply continues from there', async () => {
    const fake = recordingCluster()
    const objects = [mtls, rule('v1', 'v2'), route(['v1', 80], ['v2', 20])]
    const { changes, message } = await failure(
      failingAt(fake, 'VirtualService', route(['v1', 80], ['v2', 20]).spec),
      objects,
    )
    expect(message).toBe(
      'VirtualService shop/backend: the server is busy; done before: PeerAuthentication shop/default, DestinationRule shop/backend; not done: VirtualService shop/backend. Fix the cause and run again: the run continues from there',
    )
    expect(changes).toEqual([named('default')('PeerAuthentication', 'created'), backend('DestinationRule', 'created')])
    expect((await applied(fake, objects)).changes).toEqual([backend('VirtualService', 'created')])
  })

  test('keeps a removed subset when the second write of its rule fails, and the next apply removes it', async () => {
    const fake = recordingCluster()
    await applied(fake, [rule('v1', 'v2'), route(['v1', 80], ['v2', 20])])
    const objects = [rule('v2'), route(['v2', 100])]
    const { changes, message } = await failure(failingAt(fake, 'DestinationRule', rule('v2').spec), objects)
    expect(message).toContain(
      'done before: DestinationRule shop/backend, VirtualService shop/backend; not done: DestinationRule shop/backend.',
    )
    expect(changes).toEqual([backend('DestinationRule', 'changed'), backend('VirtualService', 'changed')])
    expect((await applied(fake, objects)).changes).toEqual([backend('DestinationRule', 'changed')])
  })

  test('reports that it wrote nothing when the first write fails', async () => {
    const { changes, message } = await failure(failingAt(recordingCluster(), 'PeerAuthentication', mtls.spec), [mtls])
    expect(message).toContain('done before: nothing; not done: PeerAuthentication shop/default.')
    expect(changes).toEqual([])
  })
})

describe('apply for many services', () => {
  const names = Array.from({ length: 20 }, (_, i) => `service-${i}`)
  const routeTo = (name: string, host = name) =>
    policy('VirtualService', name, { hosts: [host], http: [{ route: [{ destination: { host } }] }] })
  const ruleFor = (name: string) => policy('DestinationRule', name, { host: name })

  /** A cluster whose writes take a moment, and what each write found under way, by `kind name`. */
  function slowCluster(fails: (object: KubeObject) => boolean = () => false) {
    const { cluster } = recordingCluster()
    const underWay = new Set<string>()
    const writes: { what: string; beside: string[] }[] = []
    const write: Cluster['apply'] = async (object, force, dryRun) => {
      if (dryRun) return cluster.apply(object, force, dryRun)
      const what = `${object.kind} ${object.metadata.name}`
      writes.push({ what, beside: [...underWay] })
      underWay.add(what)
      await new Promise((resolve) => setImmediate(resolve))
      underWay.delete(what)
      if (fails(object)) throw new ApiError(503, 'the server is busy')
      return cluster.apply(object, force, dryRun)
    }
    return { cluster: { ...cluster, apply: write }, writes }
  }

  async function applyOn(cluster: Cluster, objects: KubeObject[]): Promise<{ changes: Change[]; message: string }> {
    const changes: Change[] = []
    const planned = await planChanges(cluster, objects, owner)
    const message = await apply(cluster, planned, recordProxies([]), (change) => changes.push(change)).then(
      () => '',
      (error: unknown) => (error as Error).message,
    )
    return { changes, message }
  }

  test('writes eight at a time, and never two kinds at once', async () => {
    const { cluster, writes } = slowCluster()
    const { changes } = await applyOn(
      cluster,
      names.flatMap((name) => [routeTo(name), ruleFor(name)]),
    )
    expect(changes).toHaveLength(40)
    expect(Math.max(...writes.map(({ beside }) => beside.length))).toBe(7)
    const kindOf = (what: string) => what.split(' ')[0]
    expect(writes.filter(({ what, beside }) => beside.some((other) => kindOf(other) !== kindOf(what)))).toEqual([])
  })

  test('writes the objects of one service one after the other', async () => {
    const { cluster, writes } = slowCluster()
    await applyOn(cluster, [routeTo('a'), routeTo('a-at-the-gateway', 'a'), routeTo('b')])
    const besideOf = (name: string) => writes.find(({ what }) => what === `VirtualService ${name}`)!.beside
    expect(writes).toHaveLength(3)
    expect(besideOf('b')).toEqual(['VirtualService a'])
    expect(besideOf('a-at-the-gateway')).not.toContain('VirtualService a')
  })

  test('begins no more after a failure, and counts those that were under way as done', async () => {
    const { cluster, writes } = slowCluster(({ metadata }) => metadata.name === 'service-2')
    const { changes, message } = await applyOn(
      cluster,
      names.map((name) => routeTo(name)),
    )
    const written = changes.map(({ name }) => name).sort()
    expect(writes).toHaveLength(written.length + 1)
    expect(written.length).toBeLessThan(10)
    const [, done = '', open = ''] = /done before: (.*); not done: (.*)\. Fix/.exec(message)!
    expect(
      done
        .split(', ')
        .map((each) => each.split('/')[1])
        .sort(),
    ).toEqual(written)
    expect(open.split(', ')).toHaveLength(names.length - written.length)
    expect(open).toContain('VirtualService shop/service-2')
  })
})

describe('apply to a field that another manager owns', () => {
  const conflict = (...managers: string[]) =>
    new ApiError(
      409,
      'Apply failed',
      managers.map((manager) => `conflict with "${manager}" using networking.istio.io/v1`),
    )
  const refusing = (...managers: string[]) =>
    recordingCluster([], (object, force) =>
      object.kind === 'VirtualService' && !force ? conflict(...managers) : undefined,
    )

  test('overwrites the field when our own promotion owns it', async () => {
    const { calls } = await applied(refusing('mesh-canary'), [route(['v1', 100])])
    expect(calls).toEqual(settled('VirtualService refused', 'VirtualService by force'))
  })

  test('overwrites the field of an object that was handed over, but only the first time', async () => {
    const handedOver = policy('VirtualService', 'backend', { hosts: ['backend'] }, { labels: managed })
    const fake = recordingCluster([handedOver], (_, force) => (force ? undefined : conflict('kubectl-create')))
    const { calls } = await applied(fake, [route(['v1', 100])])
    expect(calls).toEqual(settled('VirtualService by force'))
    await expect(applied(fake, [route(['v2', 100])])).rejects.toThrow('conflict with "kubectl-create"')
  })

  test.each([[['argocd']], [['mesh-canary', 'argocd']]])(
    'fails when %j own it, names them and writes nothing',
    async (managers) => {
      const fake = refusing(...managers)
      await expect(applied(fake, [rule('v1'), route(['v1', 100])])).rejects.toThrow(
        /^VirtualService shop\/backend has fields that another manager owns: .*conflict with "argocd".*; remove them there, or here$/,
      )
      expect(fake.calls).toEqual([])
    },
  )
})
