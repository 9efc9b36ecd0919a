// A fake cluster that stores applied objects and records every call. It is a fake because the tests check the order of
// the writes and the reaction to a refusal, which the end state of a real cluster does not show. Each apply sets the
// fields that the server manages: the resource version and the field managers. A dry run stores nothing.
import type { Cluster, PatchOperation } from '../../../src/cluster/client.ts'
import type { ApiError } from '../../../src/cluster/api-error.ts'
import { kindOf, type Kind, type KubeObject } from '../../../src/cluster/objects.ts'
import { clusterWith } from '../fixtures.ts'
import { patched } from '../patched.ts'

export type RecordingCluster = { cluster: Cluster; calls: string[]; stored: Map<string, KubeObject> }
export type Policy = KubeObject & { spec: Record<string, unknown> }

const key = (kind: Kind | undefined, namespace = '', name = '') => `${kind} ${namespace}/${name}`
export const keyOf = (object: KubeObject) => key(kindOf(object), object.metadata.namespace, object.metadata.name)

export function recordingCluster(
  before: KubeObject[] = [],
  refuse: (object: KubeObject, force: boolean) => ApiError | undefined = () => undefined,
): RecordingCluster {
  const calls: string[] = []
  const stored = new Map(before.map((object) => [keyOf(object), object]))
  const cluster = clusterWith({
    get: (kind: Kind, namespace: string | undefined, name: string) =>
      Promise.resolve(stored.get(key(kind, namespace, name))),
    list: (kind: Kind, namespace: string | undefined, { labelSelector = '' }: { labelSelector?: string } = {}) => {
      const pairs = labelSelector
        .split(',')
        .filter(Boolean)
        .map((pair) => pair.split('='))
      const matches = ({ metadata }: KubeObject) =>
        (namespace === undefined || metadata.namespace === namespace) &&
        pairs.every(([label = '', value]) =>
          value === undefined ? label in (metadata.labels ?? {}) : metadata.labels?.[label] === value,
        )
      return Promise.resolve([...stored.values()].filter((object) => kindOf(object) === kind && matches(object)))
    },
    apply: (object: KubeObject, force = false, dryRun = false) => {
      const refused = refuse(object, force)
      if (!dryRun) calls.push(`${object.kind}${force ? ' by force' : ''}${refused ? ' refused' : ''}`)
      if (refused) return Promise.reject(refused)
      const now = {
        ...structuredClone(object),
        metadata: {
          ...structuredClone(object.metadata),
          resourceVersion: String(calls.length),
          managedFields: [{ manager: 'mesh-canary', time: String(calls.length) }],
        },
      }
      if (!dryRun) stored.set(keyOf(object), now)
      return Promise.resolve(now)
    },
    patch: (kind: Kind, namespace: string | undefined, name: string, operations: PatchOperation[]) => {
      const now = patched(stored.get(key(kind, namespace, name))!, operations)
      calls.push(`patch ${kind}`)
      stored.set(keyOf(now), now)
      return Promise.resolve(now)
    },
    remove: (kind: Kind, namespace: string | undefined, name: string) => {
      calls.push(`remove ${kind}`)
      if (kind === 'Namespace')
        for (const [inside, { metadata }] of stored) if (metadata.namespace === name) stored.delete(inside)
      return Promise.resolve(stored.delete(key(kind, namespace, name)))
    },
  })
  return { cluster, calls, stored }
}

export function policy(
  kind: string,
  name: string,
  spec: Record<string, unknown>,
  more: Partial<KubeObject['metadata']> = {},
): Policy {
  const group = /Authentication|AuthorizationPolicy/.test(kind)
    ? 'security'
    : kind === 'Telemetry'
      ? 'telemetry'
      : 'networking'
  return { apiVersion: `${group}.istio.io/v1`, kind, metadata: { name, namespace: 'shop', ...more }, spec }
}

export const subsets = (...names: string[]) => names.map((name) => ({ name, labels: { version: name } }))
export const rule = (...names: string[]): Policy =>
  policy('DestinationRule', 'backend', { host: 'backend', subsets: subsets(...names) })
export const route = (...weights: [string, number][]): Policy =>
  policy('VirtualService', 'backend', {
    hosts: ['backend'],
    http: [{ route: weights.map(([subset, weight]) => ({ destination: { host: 'backend', subset }, weight })) }],
  })
