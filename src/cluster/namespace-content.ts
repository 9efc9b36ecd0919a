// What users keep in a namespace, which nobody may delete together with it.
import type { Cluster } from './client.ts'
import type { KubeObject } from './objects.ts'

/** The kinds of objects that show that a user works in a namespace. */
const userKinds = [
  'Pod',
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'CronJob',
  'Service',
  'ConfigMap',
  'Secret',
  'PersistentVolumeClaim',
  'Ingress',
] as const

/** ConfigMaps that Kubernetes and istiod write into every namespace. */
const generatedMaps = ['kube-root-ca.crt', 'istio-ca-root-cert', 'istio-ca-crl']

/**
 * All but what Kubernetes makes of these kinds, and what it and istiod write into every namespace. What another controller
 * makes is the user's: a Secret of a Certificate goes with its namespace, and the Certificate is not listed here.
 */
export async function usersObjects(cluster: Cluster, namespace: string): Promise<KubeObject[]> {
  const lists = userKinds.map((kind) => cluster.list<KubeObject>(kind, namespace))
  return (await Promise.all(lists))
    .flat()
    .filter(
      ({ kind, metadata: { name, ownerReferences = [] } }) =>
        !ownerReferences.some((owner) => derivingKinds.includes(owner.kind)) &&
        !(kind === 'ConfigMap' && generatedMaps.includes(name)),
    )
}

/** A ReplicaSet belongs to a Deployment. */
const derivingKinds: readonly string[] = [...userKinds, 'ReplicaSet']
