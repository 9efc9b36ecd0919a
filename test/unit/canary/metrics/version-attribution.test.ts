import { expect, test } from 'vitest'
import { attributeToVersions } from '../../../../src/canary/metrics/version-attribution.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { pod } from '../../fixtures.ts'

const owned = (owner: string, labels: Record<string, string>): Pod =>
  pod({ metadata: { labels, ownerReferences: [{ kind: 'ReplicaSet', name: owner, uid: owner, controller: true }] } })
const roleOf = ({ metadata }: Pod) => (metadata.labels?.['track'] === 'canary' ? 'canary' : 'stable')

test.each<[string, Pod, Pod, Record<string, string>]>([
  [
    "a Deployment's name",
    owned('pay-next-6f7', { track: 'canary', 'pod-template-hash': '6f7' }),
    owned('pay-5d9', { track: 'stable', 'pod-template-hash': '5d9' }),
    { destination_workload: 'pay-next' },
  ],
  [
    "an Argo Rollout's name",
    owned('pay-next-6f7', { track: 'canary', 'rollouts-pod-template-hash': '6f7' }),
    owned('pay-5d9', { track: 'stable', 'pod-template-hash': '5d9' }),
    { destination_workload: 'pay-next' },
  ],
  [
    'the name that a label gives the workload in the telemetry',
    owned('pay-next-6f7', { track: 'canary', 'pod-template-hash': '6f7', 'service.istio.io/workload-name': 'pay-v2' }),
    owned('pay-5d9', { track: 'stable', 'pod-template-hash': '5d9' }),
    { destination_workload: 'pay-v2' },
  ],
  [
    'the label version when both versions are pods of one Rollout',
    owned('pay-6f7', { track: 'canary', version: 'v2', 'rollouts-pod-template-hash': '6f7' }),
    owned('pay-5d9', { track: 'stable', version: 'v1', 'rollouts-pod-template-hash': '5d9' }),
    { destination_workload: 'pay', destination_version: 'v2' },
  ],
])('a request is attributed to the canary by %s', (_, canary, stable, labels) => {
  const attribution = attributeToVersions([canary, stable], roleOf)
  expect([attribution.canary(labels), attribution.stable(labels)]).toEqual([true, false])
})

test('a request to the one workload of both versions is attributed by the Service of each', () => {
  const [canary, stable] = ['canary', 'stable'].map((track) =>
    owned(`pay-${track}`, { track, 'rollouts-pod-template-hash': track }),
  )
  const hosts = { canary: 'pay-canary.shop.svc.cluster.local', stable: 'pay.shop.svc.cluster.local' }
  const attribution = attributeToVersions([canary!, stable!], roleOf, hosts)
  const of = (host: string, workload = 'pay') => {
    const labels = { destination_workload: workload, destination_service: `${host}.shop.svc.cluster.local` }
    return [attribution.canary(labels), attribution.stable(labels)]
  }
  expect([of('pay-canary'), of('pay'), of('orders')]).toEqual([
    [true, false],
    [false, true],
    [false, false],
  ])
  // A call that failed before any pod saw it.
  expect(of('pay-canary', 'unknown')).toEqual([true, false])
})

test('a request to the one workload of both versions is attributed to neither without a version', () => {
  const [canary, stable] = ['canary', 'stable'].map((track) =>
    owned(`pay-${track}`, { track, 'rollouts-pod-template-hash': track }),
  )
  const attribution = attributeToVersions([canary!, stable!], roleOf)
  const labels = { destination_workload: 'pay', destination_version: 'unknown' }
  expect([attribution.canary(labels), attribution.stable(labels)]).toEqual([false, false])
})
