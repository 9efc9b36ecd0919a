import { describe, expect, test } from 'vitest'
import type { Kind, KubeObject, Pod, Workload } from '../../../src/cluster/objects.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport } from '../../../src/report/report.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { inject } from '../../../src/stages/inject.ts'
import { configOf, pod, workload } from '../fixtures.ts'
import { recordingCluster } from '../policies/recording-cluster.ts'

const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
}
const injector = {
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'MutatingWebhookConfiguration',
  metadata: { name: 'istio-sidecar-injector' },
  webhooks: [{ name: 'namespace.sidecar-injector.istio.io' }],
} as KubeObject

type Change = { paused?: boolean; updateStrategy?: { type: string } }
function workloadOf(kind: string, name: string, labels: Record<string, string>, more: Change = {}): Workload {
  const one = workload(kind, name, { replicas: 1, updatedReplicas: 1, availableReplicas: 1 })
  const template = { ...one.spec.template, metadata: { labels } }
  return { ...one, spec: { ...one.spec, selector: { matchLabels: labels }, template, ...more } }
}

const podWithoutSidecar = (name: string, labels: Record<string, string>): Pod =>
  pod({
    metadata: {
      name: `${name}-5d9f-1`,
      namespace: 'shop',
      labels,
      ownerReferences: [{ kind: 'ReplicaSet', name: `${name}-5d9f`, uid: 'u', controller: true }],
    },
    spec: { initContainers: [], containers: [{ name: 'app' }] },
  })

const inSync = ['cluster_manager_cds', 'listener_manager_lds']
  .map((name) => `envoy_${name}_update_success{} 1\n`)
  .join('')

/** Runs the stage on workloads; a restart gives the pod its sidecar. @returns what was restarted, in order. */
async function restarts(workloads: Workload[], pods: Pod[]): Promise<string[]> {
  const fake = recordingCluster([namespace, injector, ...workloads, ...pods])
  const restarted: string[] = []
  const merge = (_kind: Kind, _namespace: string, name: string) => {
    restarted.push(name)
    const key = `Pod shop/${name}-5d9f-1`
    fake.stored.set(key, { ...fake.stored.get(key), spec: pod().spec } as Pod)
    return Promise.resolve({})
  }
  const names = workloads.map(({ kind, metadata }) => `${kind}/${metadata.name}`.replace('Deployment', 'deploy'))
  await inject({
    config: configOf(`namespace: shop\nworkloads: [${names.join(', ')}]\nverify: { timeout: 1ms }\n`),
    host: { signal: new AbortController().signal, info: () => {}, warning: () => {} },
    cluster: { ...fake.cluster, merge, pod: () => Promise.resolve(inSync) },
    stages: ['inject'],
    recorder: createRecorder(emptyReport('shop', new Date(0), false)),
  } as unknown as StageContext)
  return restarted
}

test('inject restarts each of two Deployments, although the labels of one are part of those of the other', async () => {
  const [v1, v2] = [{ app: 'backend' }, { app: 'backend', version: 'v2' }]
  const workloads = [workloadOf('Deployment', 'backend', v1), workloadOf('Deployment', 'backend-v2', v2)]
  const pods = [podWithoutSidecar('backend', v1), podWithoutSidecar('backend-v2', v2)]
  expect(await restarts(workloads, pods)).toEqual(['backend', 'backend-v2'])
  expect(await restarts(workloads, pods.slice(1))).toEqual(['backend-v2'])
})

describe('inject refuses, with nothing restarted, a workload whose pods a restart does not replace:', () => {
  test.each<[string, Change, string]>([
    [
      'a paused Deployment',
      { paused: true },
      'is paused; resume it (kubectl -n shop rollout resume deployment/backend)',
    ],
    [
      'one that waits for deletions',
      { updateStrategy: { type: 'OnDelete' } },
      'replaces pods only when they are deleted (updateStrategy OnDelete); delete them, or set RollingUpdate',
    ],
  ])('%s', async (_, more, why) => {
    const labels = { app: 'backend' }
    const other = workloadOf('Deployment', 'frontend', { app: 'frontend' })
    const refused = workloadOf('Deployment', 'backend', labels, more)
    const pods = [podWithoutSidecar('frontend', { app: 'frontend' }), podWithoutSidecar('backend', labels)]
    await expect(restarts([other, refused], pods)).rejects.toThrow(
      `workloads: Deployment shop/backend needs new pods with sidecars, but ${why}; nothing was restarted`,
    )
  })
})
