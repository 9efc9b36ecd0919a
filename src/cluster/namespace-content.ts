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

/** All but what controllers make of other objects, and what Kubernetes and istiod write into every namespace. */
export async function usersObjects(cluster: Cluster, namespace: string): Promise<KubeObject[]> {
  const lists = userKinds.map((kind) => cluster.list<KubeObject>(kind, namespace))
  return (await Promise.all(lists))
    .flat()
    .filter(
      ({ kind, metadata: { name, ownerReferences = [] } }) =>
        ownerReferences.length === 0 && !(kind === 'ConfigMap' && generatedMaps.includes(name)),
    )
}
