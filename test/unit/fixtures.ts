// The fixtures of several unit tests: a config read by the real loader, pods, an HTTP server and a fake cluster.
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { RequestCounts } from '../../src/canary/analysis/request-counts.ts'
import type { Cluster } from '../../src/cluster/client.ts'
import type { ContainerStatus, KubeObject, Pod, VirtualService, Workload } from '../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../src/cluster/watch.ts'
import { ConfigError } from '../../src/config/error.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { CanaryConfig, Config } from '../../src/config/schema.ts'
import type { Owner } from '../../src/policies/owned-objects.ts'
import type { Split } from '../../src/policies/routes.ts'
import type { FleetHost } from '../../src/fleet/run-fleet.ts'

/** The config that a mesh.yaml of this text gives. */
export function configOf(yaml: string): Config {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-unit-'))
  const file = join(folder, 'mesh.yaml')
  writeFileSync(file, yaml)
  try {
    return loadConfig({ INPUT_CONFIG: file })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The error message for a config file and inputs; the message calls the file `mesh.yaml`. */
export function refusal(yaml: string | undefined, inputs: Record<string, string> = {}): string {
  const file = yaml === undefined ? undefined : fileWith(yaml)
  const env = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]))
  try {
    loadConfig({ ...env, ...(file === undefined ? {} : { INPUT_CONFIG: file }) })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.replaceAll(file ?? '\0', 'mesh.yaml')
  }
  throw new Error('it was accepted')
}

/** The plan of a canary section, as `{ … }` on one line; the service is `backend`. */
export function planOf(more = ''): CanaryConfig {
  return loadConfig({ INPUT_CANARY: `{ service: backend, ${more} }` }).canary!
}

/** Requests of which each has a duration; the slow ones took more than 500 ms. */
export function served(requests: number, failures = 0, slow = 0): RequestCounts {
  return {
    requests,
    failures,
    abandoned: 0,
    times: { total: requests, within: { 500: requests - slow, 10_000: requests } },
  }
}

/** What stable serves while the canary, at its weight, serves so many requests. */
export function servedByStable(weight: number, ofCanary: number): RequestCounts {
  return served(weight === 0 || ofCanary === 0 ? 100 - weight : Math.round((ofCanary * (100 - weight)) / weight))
}

/** A new folder that is deleted when the test ends. */
export function tempFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-unit-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export function fileWith(text: string, name = 'mesh.yaml'): string {
  const file = join(tempFolder(), name)
  writeFileSync(file, text)
  return file
}

export type ReceivedRequest = { method: string; url: string; headers: IncomingHttpHeaders; body: string }

/** A real HTTP server on the loopback interface until the test ends. It records the requests. */
export async function serve(
  answer: (request: ReceivedRequest, response: Parameters<RequestListener>[1]) => void,
): Promise<{ address: string; requests: ReceivedRequest[] }> {
  const requests: ReceivedRequest[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const received = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      }
      requests.push(received)
      answer(received, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

/** A cluster with only the given methods. Every other one rejects, so that an unexpected call fails the test. */
export function clusterWith(verbs: { [verb in keyof Cluster]?: (...args: never[]) => unknown }): Cluster {
  const unexpected = (verb: string) => () => Promise.reject(new Error(`the test did not expect ${verb}`))
  const names = [
    'get',
    'list',
    'serves',
    'snapshot',
    'changes',
    'create',
    'apply',
    'patch',
    'merge',
    'remove',
    'evict',
    'isAllowed',
    'pod',
    'service',
    'log',
    'version',
  ]
  return {
    server: 'https://cluster.test',
    ...Object.fromEntries(names.map((name) => [name, unexpected(name)])),
    ...verbs,
  } as unknown as Cluster
}

/** A watch that shows these objects; `fresh` says whether it is up to date. */
export function live<T extends KubeObject>(current: () => T[], fresh = () => true): ObjectWatch<T> {
  return {
    current,
    fresh,
    close: () => undefined,
  }
}

export function container(name: string, more: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name, ready: true, restartCount: 0, ...more }
}

type PodParts = { metadata?: Partial<Pod['metadata']>; spec?: Partial<Pod['spec']>; status?: Pod['status'] | undefined }

/**
 * A running pod `backend-1` with the application's container and a native sidecar, both ready; `parts` replace its
 * fields.
 */
export function pod({ metadata, spec, status }: PodParts = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'backend-1', namespace: 'shop', uid: 'uid-1', labels: { app: 'backend' }, ...metadata },
    spec: {
      containers: [{ name: 'app' }],
      initContainers: [{ name: 'istio-init' }, { name: 'istio-proxy', restartPolicy: 'Always' }],
      ...spec,
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      initContainerStatuses: [container('istio-init'), container('istio-proxy')],
      containerStatuses: [container('app')],
      ...status,
    },
  }
}

export const classicPod = pod({
  spec: { containers: [{ name: 'app' }, { name: 'istio-proxy' }], initContainers: [{ name: 'istio-init' }] },
  status: {
    initContainerStatuses: [container('istio-init')],
    containerStatuses: [container('app'), container('istio-proxy')],
  },
})

export const podWithoutSidecar = pod({
  spec: { containers: [{ name: 'app' }], initContainers: [] },
  status: { initContainerStatuses: [], containerStatuses: [container('app')] },
})

/** A workload whose pods have its name as label `app`. */
export function workload(
  kind: string,
  name: string,
  status: Workload['status'] = {},
  more: { generation?: number; replicas?: number } = {},
): Workload {
  const { generation = 1, ...spec } = more
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: 'shop', generation },
    spec: { selector: { matchLabels: { app: name } }, template: { spec: { containers: [{ name: 'app' }] } }, ...spec },
    status: { observedGeneration: generation, ...status },
  }
}

type Routes = NonNullable<VirtualService['spec']['http']>

/** A VirtualService `backend` in the namespace `shop`, for the host `backend`. */
export function virtualService(http: Routes, more: Partial<VirtualService['metadata']> = {}): VirtualService {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'backend', namespace: 'shop', resourceVersion: '7', ...more },
    spec: { hosts: ['backend'], http },
  }
}

export const split: Split = {
  namespace: 'shop',
  service: 'backend',
  stable: { by: 'subset', name: 'v1' },
  canary: { by: 'subset', name: 'v2' },
}
export const splitOfServices: Split = {
  ...split,
  stable: { by: 'service', name: 'backend-v1' },
  canary: { by: 'service', name: 'backend-v2' },
}

/** A destination of a route; without a weight it has none. */
export function to(subset: string, weight?: number, host = 'backend'): NonNullable<Routes[number]['route']>[number] {
  return { destination: { host, subset }, ...(weight === undefined ? {} : { weight }) }
}

/** The owner of the policies of one config in a namespace. */
export function ownerNamed(name: string, namespace = 'shop', earlier = 'mesh-yaml'): Owner {
  return { names: [name], earlier: [earlier], namespace, prunes: true }
}

/** A host that shows nothing. Only what a run calls before it reaches a cluster is here. */
export function fakeHost(): FleetHost {
  const nothing = () => undefined
  const hooks = { onConnected: nothing, onRecoveryIntents: nothing, onFaultIntent: nothing }
  return {
    signal: new AbortController().signal,
    tempDir: tempFolder(),
    outputFolder: tempFolder(),
    runName: 'test',
    info: nothing,
    warning: nothing,
    group: (_, work) => work(),
    mask: nothing,
    readGuardProgram: () => '',
    onIstioctl: nothing,
    onKindCluster: nothing,
    ...hooks,
    inCluster: () => hooks,
  }
}
