// What the checks of mutual TLS compare: the policies that a run writes, those that stay in the cluster, and the pods.
import type { Cluster } from '../cluster/client.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import {
  keyOf,
  systemNamespace,
  type DestinationRule,
  type KubeObject,
  type Pod,
  type Service,
  type Workload,
} from '../cluster/objects.ts'
import { listReadableEverywhere } from '../cluster/readable.ts'
import { isLive } from '../cluster/pods.ts'
import { isOf, type Owner } from '../policies/owned-objects.ts'
import type { PeerAuthentication } from './mtls-modes.ts'

export type MtlsFacts = {
  namespace: string
  /** What the run writes; each with the age of the live object of its name. */
  asked: PeerAuthentication[]
  /** What is in force after the run. */
  after: PeerAuthentication[]
  /** What is in force now. */
  before: PeerAuthentication[]
  /** After the run; those of other namespaces too, if the account may read them. */
  destinationRules: DestinationRule[]
  pods: Pod[]
  workloads: Workload[]
  services: Service[]
}

/** `objects`: what the run writes. Undefined if none of them is a PeerAuthentication. */
export async function readMtlsFacts(
  cluster: Cluster,
  objects: readonly KubeObject[],
  owner: Owner,
): Promise<MtlsFacts | undefined> {
  const { namespace } = owner
  const asked = objects.filter(({ kind }) => kind === 'PeerAuthentication') as PeerAuthentication[]
  if (asked.length === 0) return undefined
  const list = <T extends KubeObject>(kind: Parameters<Cluster['list']>[0], place = namespace) =>
    cluster.list<T>(kind, place).catch(emptyWhenUnread)
  const [own, ofMesh, rules, pods, services, ...workloads] = await Promise.all([
    list<PeerAuthentication>('PeerAuthentication'),
    namespace === systemNamespace ? [] : list<PeerAuthentication>('PeerAuthentication', systemNamespace),
    listReadableEverywhere<DestinationRule>(cluster, 'DestinationRule', [...new Set([namespace, systemNamespace])]),
    list<Pod>('Pod'),
    list<Service>('Service'),
    list<Workload>('Deployment'),
    list<Workload>('StatefulSet'),
    list<Workload>('DaemonSet'),
  ])
  const before = [...own, ...ofMesh]
  const written = new Set(objects.map(keyOf))
  const stays = (object: KubeObject) => !written.has(keyOf(object)) && !(owner.prunes && isOf(owner, object))
  const aged = asked.map((object) => withAge(object, before))
  const writtenRules = objects.filter(({ kind }) => kind === 'DestinationRule') as DestinationRule[]
  return {
    namespace,
    asked: aged,
    after: [...aged, ...before.filter(stays)],
    before,
    destinationRules: [...writtenRules, ...rules.objects.filter(stays)],
    pods: pods.filter(isLive),
    workloads: workloads.flat(),
    services,
  }
}

function withAge(object: PeerAuthentication, live: readonly PeerAuthentication[]): PeerAuthentication {
  const existing = live.find((each) => keyOf(each) === keyOf(object))
  const { creationTimestamp } = existing?.metadata ?? {}
  return creationTimestamp === undefined ? object : { ...object, metadata: { ...object.metadata, creationTimestamp } }
}
