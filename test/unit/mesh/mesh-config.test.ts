import { expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { meshConfigPlace } from '../../../src/mesh/mesh-config.ts'
import { configOf } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const tag = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingWebhookConfiguration',
  metadata: { name: 'istio-revision-tag-prod', labels: { 'istio.io/tag': 'prod', 'istio.io/rev': '1-31-0' } },
} as KubeObject

test.each<[string, Record<string, string>, string, string]>([
  [
    'that `istio.revision` names',
    { 'istio.io/rev': 'canary' },
    'istio: { version: 1.31.0, revision: new }',
    'istio-new',
  ],
  ['to which the namespace points', { 'istio.io/rev': 'canary' }, 'istio: { version: 1.31.0 }', 'istio-canary'],
  [
    'of the tag to which the namespace points',
    { 'istio.io/rev': 'prod' },
    'istio: { version: 1.31.0 }',
    'istio-1-31-0',
  ],
  ['to which the namespace points, without `istio`', { 'istio.io/rev': 'canary' }, '', 'istio-canary'],
  ['without a name for a namespace without labels', {}, 'istio: { version: 1.31.0 }', 'istio'],
])('the mesh config is that of the revision %s', async (_, labels, istio, name) => {
  const { cluster } = recordingCluster([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } },
    tag,
  ])
  expect(await meshConfigPlace(cluster, configOf(`namespace: shop\n${istio}\n`))).toMatchObject({ name })
})
