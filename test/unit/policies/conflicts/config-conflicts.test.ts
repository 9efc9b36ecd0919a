import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { configConflicts } from '../../../../src/policies/conflicts/config-conflicts.ts'
import { withOwnerMarks } from '../../../../src/policies/owned-objects.ts'
import { ownerNamed } from '../../fixtures.ts'
import { policy, recordingCluster } from '../recording-cluster.ts'

const owner = ownerNamed('github.test/acme/shop mesh.yaml')
const other = ownerNamed('github.test/acme/web mesh.yaml', 'web')
const theirs = (object: KubeObject) =>
  withOwnerMarks({ ...object, metadata: { ...object.metadata, namespace: 'web' } }, other)

const gateway = (host: string, label = 'ingressgateway', port = 80, name = 'frontend-gateway') =>
  policy('Gateway', name, {
    selector: { istio: label },
    servers: [{ port: { number: port, name: 'a', protocol: 'HTTP' }, hosts: [`./${host}`] }],
  })
const httpRoute = (hostnames: string[] | undefined, path?: string, parent = 'edge') => ({
  ...policy('HTTPRoute', 'frontend', {
    parentRefs: [{ name: parent, namespace: 'infra' }],
    ...(hostnames ? { hostnames } : {}),
    rules: [path === undefined ? {} : { matches: [{ path: { type: 'PathPrefix', value: path } }] }],
  }),
  apiVersion: 'gateway.networking.k8s.io/v1',
})
const inMesh = (host: string, more = {}) => policy('VirtualService', 'legacy', { hosts: [host], http: [], ...more })

const conflicts = (ours: KubeObject, live: KubeObject) =>
  configConflicts(recordingCluster([live]).cluster, [ours], owner)

describe('a host that another config claims', () => {
  test.each<[string, KubeObject, KubeObject, string]>([
    [
      'at the same gateway',
      gateway('shop.test'),
      theirs(gateway('shop.test')),
      'the host shop.test of the Gateway shop/frontend-gateway',
    ],
    ['as every host', gateway('*'), theirs(gateway('*')), 'the host *'],
    [
      'in an HTTPRoute of the same Gateway',
      httpRoute(['shop.test']),
      theirs(httpRoute(['shop.test'])),
      'the host shop.test of the HTTPRoute',
    ],
    [
      'in an HTTPRoute for every host',
      httpRoute(undefined),
      theirs(httpRoute(undefined, '/')),
      'the host * of the HTTPRoute',
    ],
    [
      'in the mesh, from another namespace',
      inMesh('pay.shop.svc.cluster.local'),
      theirs(inMesh('pay.shop.svc.cluster.local')),
      'the host pay.shop.svc.cluster.local of the VirtualService shop/legacy',
    ],
  ])('is a conflict %s', async (_, ours, live, sentence) => {
    const [fault, ...more] = await conflicts(ours, live)
    expect(more).toEqual([])
    expect(fault).toContain(`policies: ${sentence}`)
    expect(fault).toContain('belongs to another config of mesh-canary already (github.test/acme/web mesh.yaml)')
  })

  test.each<[string, KubeObject, KubeObject]>([
    ['on another gateway', gateway('shop.test'), theirs(gateway('shop.test', 'internal'))],
    ['on another port', gateway('shop.test'), theirs(gateway('shop.test', 'ingressgateway', 8080))],
    ['that is another host', gateway('shop.test'), theirs(gateway('web.test'))],
    ['that is another path of it', httpRoute(['shop.test'], '/a'), theirs(httpRoute(['shop.test'], '/b'))],
    ['on another Gateway object', httpRoute(['shop.test']), theirs(httpRoute(['shop.test'], '/', 'internal'))],
    ['only for its own namespace', inMesh('pay.test'), theirs(inMesh('pay.test', { exportTo: ['.'] }))],
    [
      'in an object of this config',
      gateway('shop.test'),
      withOwnerMarks(gateway('shop.test', 'ingressgateway', 80, 'before'), owner),
    ],
    [
      'in an object that mesh-canary does not manage',
      gateway('shop.test'),
      gateway('shop.test', 'ingressgateway', 80, 'by-hand'),
    ],
  ])('is no conflict %s', async (_, ours, live) => {
    expect(await conflicts(ours, live)).toEqual([])
  })

  test('is looked for in the own namespace by an account that may read no other', async () => {
    const near = withOwnerMarks(gateway('shop.test', 'ingressgateway', 80, 'near'), ownerNamed('other', 'shop'))
    const { cluster } = recordingCluster([near, theirs(gateway('shop.test'))])
    const list: typeof cluster.list = (kind, namespace, query) =>
      namespace === undefined ? Promise.reject(new ApiError(403, '')) : cluster.list(kind, namespace, query)
    expect(await configConflicts({ ...cluster, list }, [gateway('shop.test')], owner)).toEqual([
      expect.stringContaining('(other), with the Gateway shop/near'),
    ])
  })
})
