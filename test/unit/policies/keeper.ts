// A cluster that keeps what is applied, and a note of all that is written. It is a fake because what matters here, the order
// of the writes and what is done with a refusal, cannot be told from the outcome on a real one. Each apply touches what the
// server keeps beside the object: its version, and who owns which field. A dry run only answers.
import type { Cluster } from '../../../src/cluster/client.ts'
import type { ApiError } from '../../../src/cluster/api-error.ts'
import { kindOf, type Kind, type KubeObject } from '../../../src/cluster/objects.ts'
import { clusterWith } from '../fixtures.ts'

export type Keeper = { cluster: Cluster; happened: string[]; kept: Map<string, KubeObject> }
export type Policy = KubeObject & { spec: Record<string, unknown> }

const key = (kind: Kind | undefined, namespace = '', name = '') => `${kind} ${namespace}/${name}`
export const keyOf = (object: KubeObject) => key(kindOf(object), object.metadata.namespace, object.metadata.name)

export function keeper(
  before: KubeObject[] = [],
  refuse: (object: KubeObject, force: boolean) => ApiError | undefined = () => undefined,
): Keeper {
  const happened: string[] = []
  const kept = new Map(before.map((object) => [keyOf(object), object]))
  const cluster = clusterWith({
    get: (kind: Kind, namespace: string | undefined, name: string) =>
      Promise.resolve(kept.get(key(kind, namespace, name))),
    list: (kind: Kind, namespace: string | undefined, { labelSelector = '' }: { labelSelector?: string } = {}) => {
      const pairs = labelSelector
        .split(',')
        .filter(Boolean)
        .map((pair) => pair.split('='))
      const taken = ({ metadata }: KubeObject) =>
        (namespace === undefined || metadata.namespace === namespace) &&
        pairs.every(([label = '', value]) =>
          value === undefined ? label in (metadata.labels ?? {}) : metadata.labels?.[label] === value,
        )
      return Promise.resolve([...kept.values()].filter((object) => kindOf(object) === kind && taken(object)))
    },
    apply: (object: KubeObject, force = false, dryRun = false) => {
      const refused = refuse(object, force)
      if (!dryRun) happened.push(`${object.kind}${force ? ' by force' : ''}${refused ? ' refused' : ''}`)
      if (refused) return Promise.reject(refused)
      const now = {
        ...structuredClone(object),
        metadata: {
          ...structuredClone(object.metadata),
          resourceVersion: String(happened.length),
          managedFields: [{ manager: 'mesh-canary', time: String(happened.length) }],
        },
      }
      if (!dryRun) kept.set(keyOf(object), now)
      return Promise.resolve(now)
    },
    remove: (kind: Kind, namespace: string | undefined, name: string) => {
      happened.push(`remove ${kind}`)
      if (kind === 'Namespace')
        for (const [inside, { metadata }] of kept) if (metadata.namespace === name) kept.delete(inside)
      return Promise.resolve(kept.delete(key(kind, namespace, name)))
    },
  })
  return { cluster, happened, kept }
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
