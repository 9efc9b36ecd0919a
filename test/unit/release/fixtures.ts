// A service with one Deployment, and a fake cluster that holds objects by kind and name.
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster, PatchOperation } from '../../../src/cluster/client.ts'
import type { KubeObject, Pod, Service, Workload } from '../../../src/cluster/objects.ts'
import { clusterWith, pod } from '../fixtures.ts'
import { patched } from '../patched.ts'

type Labels = Record<string, string>

export const image = 'registry.test/till:1'

export function deployment(name = 'till', labels: Labels = { app: 'till' }, spec: object = {}): Workload {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'shop', uid: `uid-of-${name}`, generation: 1 },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: labels['app'] ?? '' } },
      template: { metadata: { labels }, spec: { containers: [{ name: 'app', image }], ...spec } },
    },
    status: { observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
  }
}

export function service(selector?: Labels): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'till', namespace: 'shop', labels: { app: 'till', team: 'pay' } },
    spec: { ...(selector ? { selector } : {}), ports: [{ name: 'http', port: 80 }] },
  }
}

/** A pod of the ReplicaSet of a Deployment, or of another owner. */
export function podOf(owner: string, kind = 'ReplicaSet', labels: Labels = { app: 'till' }): Pod {
  const name = kind === 'ReplicaSet' ? `${owner}-5d9c8b7f6` : owner
  const ownerReferences = [{ kind, name, uid: 'owner', controller: true }]
  return pod({ metadata: { name: `${name}-x1`, labels, ownerReferences } })
}

/** Holds objects; the API server's part of owner references is not played. `forbidden`: kinds that no one may list. */
export function clusterOf(objects: KubeObject[], forbidden: string[] = []) {
  const keyOf = (kind: string, name: string) => `${kind} ${name}`
  const held = new Map(objects.map((object) => [keyOf(object.kind, object.metadata.name), object]))
  const writes: string[] = []
  const lookUp = (kind: string, name: string) => structuredClone(held.get(keyOf(kind, name)))
  const cluster: Cluster = clusterWith({
    version: () => Promise.resolve('v1.37.2'),
    get: (kind: string, _: string, name: string) => Promise.resolve(lookUp(kind, name)),
    list: (kind: string, namespace: string) =>
      forbidden.includes(kind)
        ? Promise.reject(new ApiError(403, `cannot list resource "${kind}"`))
        : Promise.resolve(
            [...held.values()].filter((each) => each.kind === kind && each.metadata.namespace === namespace),
          ),
    serves: () => Promise.resolve(true),
    create: (object: KubeObject) => {
      writes.push(`create ${object.kind} ${object.metadata.name}`)
      held.set(keyOf(object.kind, object.metadata.name), object)
      return Promise.resolve(object)
    },
    apply: (object: KubeObject, _force?: boolean, isDryRun?: boolean) => {
      if (isDryRun) return Promise.resolve(object)
      const { replicas } = ('spec' in object ? object.spec : {}) as { replicas?: number }
      writes.push(`apply ${object.kind} ${object.metadata.name}${replicas === undefined ? '' : ` × ${replicas}`}`)
      const uid = lookUp(object.kind, object.metadata.name)?.metadata.uid ?? `uid-of-${object.metadata.name}`
      const stored = { ...object, metadata: { ...object.metadata, uid }, status: { replicas } }
      held.set(keyOf(object.kind, object.metadata.name), stored)
      return Promise.resolve(stored)
    },
    patch: (kind: string, _: string, name: string, operations: PatchOperation[]) => {
      writes.push(`patch ${kind} ${name}`)
      const object = patched(lookUp(kind, name)!, operations)
      held.set(keyOf(kind, name), object)
      return Promise.resolve(object)
    },
    merge: (kind: string, _: string, name: string, body: object) => {
      writes.push(`merge ${kind} ${name} ${JSON.stringify(body)}`)
      return Promise.resolve(body)
    },
    remove: (kind: string, _: string, name: string, uid?: string) => {
      writes.push(`remove ${kind} ${name} ${uid ?? ''}`.trim())
      return Promise.resolve(held.delete(keyOf(kind, name)))
    },
  })
  return { cluster, writes, get: lookUp }
}
