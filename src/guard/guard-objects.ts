// What both guards read and write beside their work: their latest specification, and the Event that tells of a recovery.
import { guardName } from '../canary/ownership/guard-manifest.ts'
import { guardSpecKey } from '../canary/ownership/guard-spec.ts'
import { lacksRights } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import type { ConfigMap, KubeObject } from '../cluster/objects.ts'

/** The run adds a route that appears after the guard has started. `spec` itself if the account may not read the latest one. */
export async function latestSpec<Spec extends { namespace: string; service: string; identity: string }>(
  cluster: Cluster,
  spec: Spec,
): Promise<Spec> {
  const name = guardName(spec.service, spec.identity)
  const latest = await cluster.get<ConfigMap>('ConfigMap', spec.namespace, name).catch((problem: unknown) => {
    if (!lacksRights(problem)) throw problem
    return undefined
  })
  const text = latest?.data?.[guardSpecKey]
  return text === undefined ? spec : (JSON.parse(text) as Spec)
}

/** A warning about the service. */
export function guardEvent(
  { namespace, service, lease }: { namespace: string; service: string; lease: string },
  reason: string,
  message: string,
): KubeObject {
  const time = new Date().toISOString()
  const base = { apiVersion: 'v1', kind: 'Event', metadata: { name: `${lease}.${Date.now().toString(16)}`, namespace } }
  const about = {
    involvedObject: { apiVersion: 'v1', kind: 'Service', namespace, name: service },
    reason,
    message,
    type: 'Warning',
    source: { component: 'mesh-canary-guard' },
  }
  return Object.assign(base, about, { firstTimestamp: time, lastTimestamp: time, count: 1 })
}
