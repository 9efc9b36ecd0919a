import { describe, expect, test } from 'vitest'
import type { Node } from '../../../src/cluster/objects.ts'
import { imagesOf, missingImages } from '../../../src/mesh/images.ts'
import { objectsIn } from '../../../src/mesh/manifests.ts'
import { clusterWith } from '../fixtures.ts'

const injector = (global: object) => `---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio-sidecar-injector-canary }
data:
  config: "image: \\"{{ .ProxyImage }}\\""
  values: '${JSON.stringify({ global })}'
`
const deployment = (kind: string, image: string, policy = '') => `---
apiVersion: apps/v1
kind: ${kind}
metadata: { name: x }
spec: { template: { spec: { containers: [{ name: x, image: "${image}"${policy && `, imagePullPolicy: ${policy}`} }] } } }
`
const proxy = { hub: 'docker.io/istio', tag: '1.31.0', proxy: { image: 'proxyv2' }, proxy_init: { image: 'proxyv2' } }

describe('the images of a control plane', () => {
  test.each<[string, string, object[]]>([
    [
      'are those of its Deployments and DaemonSets, each once',
      deployment('Deployment', 'a/pilot:1') +
        deployment('DaemonSet', 'a/cni:1') +
        deployment('Deployment', 'a/pilot:1'),
      [{ name: 'a/cni:1' }, { name: 'a/pilot:1' }],
    ],
    [
      'include their pull policies',
      deployment('Deployment', 'a/pilot:1', 'Never'),
      [{ name: 'a/pilot:1', policy: 'Never' }],
    ],
    ['exclude those in a template inside a ConfigMap', deployment('Job', 'a/job:1'), []],
    ['exclude the placeholder of an injected gateway', deployment('Deployment', 'auto'), []],
    [
      'include the sidecar image that the injector composes',
      injector(proxy),
      [{ name: 'docker.io/istio/proxyv2:1.31.0' }],
    ],
    [
      'include the variant of the sidecar image and its pull policy',
      injector({ ...proxy, variant: 'distroless', imagePullPolicy: 'Never' }),
      [{ name: 'docker.io/istio/proxyv2:1.31.0-distroless', policy: 'Never' }],
    ],
    [
      'include a sidecar image that is given as a full name',
      injector({ ...proxy, proxy: { image: 'mine.example/envoy:7' } }),
      [{ name: 'docker.io/istio/proxyv2:1.31.0' }, { name: 'mine.example/envoy:7' }],
    ],
  ])('%s', (_, manifests, images) => {
    expect(imagesOf(objectsIn(manifests))).toEqual(images)
  })
})

/** Nodes with all combinations of images, which one real node does not have. */
describe('the check for images that are never pulled', () => {
  const node = (name: string, images: string[], spec: Node['spec'] = {}): Node => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec,
    status: { images: images.map((each) => ({ names: [each] })) },
  })
  const full = (name: string) =>
    node(
      name,
      Array.from({ length: 50 }, (_, i) => `docker.io/library/x:${i}`),
    )
  const of = (nodes: Node[], name: string, policy = 'Never') =>
    missingImages(clusterWith({ list: () => Promise.resolve(nodes) }), [{ name, policy }])

  test.each<[string, Node[], string, { lacks: string[]; unknown: string[] }]>([
    ['none', [node('n1', ['docker.io/istio/pilot:1'])], 'docker.io/istio/pilot:1', { lacks: [], unknown: [] }],
    [
      'finds the image on the node',
      [node('n1', ['docker.io/istio/pilot:1'])],
      'istio/pilot:1',
      { lacks: [], unknown: [] },
    ],
    [
      'finds the image under its short name',
      [node('n1', ['docker.io/library/busybox:latest'])],
      'busybox',
      { lacks: [], unknown: [] },
    ],
    [
      'reports every schedulable node that has only another image',
      [node('n1', ['docker.io/istio/pilot:2']), node('n2', []), node('n3', [], { unschedulable: true })],
      'docker.io/istio/pilot:1',
      { lacks: ['docker.io/istio/pilot:1 is not on n1, n2'], unknown: [] },
    ],
    [
      'reports as unknown a node that lists only some of its images',
      [full('n1')],
      'localhost:5000/pilot:1',
      {
        lacks: [],
        unknown: ['cannot tell whether localhost:5000/pilot:1 is on n1, because a node reports only 50 images'],
      },
    ],
  ])('%s', async (_, nodes, image, result) => {
    expect(await of(nodes, image)).toEqual(result)
  })

  test('skips images that are pulled', async () => {
    expect(
      await missingImages(clusterWith({}), [{ name: 'a/b:1', policy: 'IfNotPresent' }, { name: 'a/c:1' }]),
    ).toEqual({
      lacks: [],
      unknown: [],
    })
  })
})
