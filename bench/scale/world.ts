// What the benchmark creates in the cluster: a node without a kubelet, and pods, Services and Deployments on it.
import { tmpdir } from 'node:os'
import pMap from 'p-map'
import { isNotFound } from '../../src/cluster/api-error.ts'
import { createClient, type Cluster } from '../../src/cluster/client.ts'
import { connection } from '../../src/cluster/connect.ts'
import type { KubeObject } from '../../src/cluster/objects.ts'
import { cachedCredentials } from '../../src/cluster/credentials.ts'
import { requester } from '../../src/cluster/request.ts'
import { serviceName, type Place, type PodRole } from './layout.ts'
import { nodeName, podOf } from './pod.ts'

const concurrency = 24
const renewMs = 10_000

export type World = {
  cluster: Cluster
  createNamespace: (namespace: string) => Promise<void>
  /** Deletes it, and waits until it is gone. */
  removeNamespace: (namespace: string) => Promise<void>
  createPods: (namespace: string, places: readonly Place[], hasManyServices: boolean) => Promise<void>
  create: (objects: readonly KubeObject[]) => Promise<void>
  end: () => Promise<void>
}

export async function createWorld(): Promise<World> {
  const access = connection(undefined, undefined, tmpdir())
  const cluster = createClient(access)
  const ask = requester(access, cachedCredentials(access, 30_000), 15_000)
  const post = (path: string, body: object, method = 'POST', type = 'application/json') =>
    ask(path, { method, type, body })
  const patch = (path: string, body: object) => post(path, body, 'PATCH', 'application/merge-patch+json')

  const removeNode = async () => {
    await cluster.remove('Node', undefined, nodeName)
    await cluster.remove('Lease', 'kube-node-lease', nodeName)
  }
  const removeNamespace = async (namespace: string) => {
    const path = `/api/v1/namespaces/${namespace}`
    const exists = async () => (await cluster.get('Namespace', undefined, namespace)) !== undefined
    if (!(await exists())) return
    await ask(`${path}/pods`, {
      method: 'DELETE',
      totalMs: 300_000,
      timeoutMs: 300_000,
      query: { gracePeriodSeconds: '0' },
    })
    await cluster.remove('Namespace', undefined, namespace)
    while (await exists()) await new Promise((resolve) => setTimeout(resolve, 500))
  }

  await removeNode()
  await post('/api/v1/nodes', node)
  await patch(`/api/v1/nodes/${nodeName}/status`, nodeStatus())
  await post('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', lease())
  // Without this the node controller calls the node unreachable, and its pods not ready.
  const renewal = setInterval(() => {
    void patch(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${nodeName}`, lease()).catch(
      () => undefined,
    )
  }, renewMs)

  return {
    cluster,
    removeNamespace,
    createNamespace: async (namespace) => {
      await removeNamespace(namespace)
      await post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
      // A pod is refused until its ServiceAccount exists.
      while (!(await ask(`/api/v1/namespaces/${namespace}/serviceaccounts/default`).catch(missing)))
        await new Promise((resolve) => setTimeout(resolve, 100))
    },
    createPods: async (namespace, places, hasManyServices) => {
      const path = `/api/v1/namespaces/${namespace}/pods`
      const create = async (place: Place) => {
        const { name, pod, status } = podOf(place, namespace, hasManyServices)
        await post(path, pod)
        await patch(`${path}/${name}/status`, { status })
      }
      await pMap(places, create, { concurrency })
    },
    create: async (objects) => void (await pMap(objects, (object) => cluster.create(object), { concurrency })),
    end: async () => {
      clearInterval(renewal)
      await removeNode()
    },
  }
}

function missing(error: unknown): undefined {
  if (isNotFound(error)) return undefined
  throw error
}

const now = () => new Date().toISOString().replace('Z', '000Z')

const lease = () => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: nodeName, namespace: 'kube-node-lease' },
  spec: { holderIdentity: nodeName, leaseDurationSeconds: 40, renewTime: now() },
})

/** No other pod is scheduled there. */
const node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: nodeName, labels: { 'kubernetes.io/hostname': nodeName } },
  spec: { unschedulable: true },
}

function nodeStatus(): object {
  const time = new Date().toISOString()
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Scale',
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  }
  const quantities = { cpu: '10000', memory: '100Ti', pods: '10000' }
  return { status: { conditions: [condition], capacity: quantities, allocatable: quantities } }
}

/** The Service in front of both versions. */
export function serviceObject(namespace: string, service: number): KubeObject {
  const app = serviceName(service)
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: app, namespace, labels: { app } },
    spec: { selector: { app }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  } as KubeObject
}

export function placesOf(counts: Record<PodRole, number>, service = 0): Place[] {
  return (Object.entries(counts) as [PodRole, number][]).flatMap(([role, count]) =>
    Array.from({ length: count }, (_, number) => ({ role, service, number })),
  )
}

/** Measures each size in a namespace of its own, and shows each row at once. */
export async function forEachSize<Row>(
  world: World,
  prefix: string,
  sizes: number[],
  measure: (size: number, namespace: string) => Promise<Row>,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const size of sizes) {
    const namespace = `${prefix}-${size}`
    await world.createNamespace(namespace)
    try {
      rows.push(await measure(size, namespace))
      console.error(JSON.stringify(rows.at(-1)))
    } finally {
      await world.removeNamespace(namespace)
    }
  }
  return rows
}
