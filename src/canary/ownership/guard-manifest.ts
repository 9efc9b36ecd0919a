// The guard as Kubernetes objects: a Job with its program and orders, and an account that may do no more than they ask. Pure.
import { managedByLabel, manager } from '../../cluster/labels.ts'
import { kindOf, type ConfigMap, type KubeObject, type Lease } from '../../cluster/objects.ts'
import { leaseName, ownerReference } from './lease.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { guardSpecFile, guardProgramFile, type GuardSpec } from './guard-spec.ts'

type Guard = CanaryConfig['guard']

/** Whose pods the guard's are. */
export const guardLabel = 'mesh-canary.io/guard'

/** Names of pods and of their labels end after 63 characters. */
function short(name: string, tail: string): string {
  return `${name.slice(0, 62 - tail.length).replace(/[-.]+$/, '')}-${tail}`
}

/** `tail` tells the guards of two claims apart: a Job cannot be changed. */
export function guardName(service: string, identity: string): string {
  return short(`${leaseName(service)}-guard`, /\(([0-9a-f]{8})\)$/.exec(identity)?.[1] ?? 'x')
}

/** In the order in which they are created. All belong to the Lease: when that goes, they go. */
export function guardManifest(
  orders: GuardSpec,
  lease: Lease,
  program: string,
  { image, pullPolicy }: Guard,
): KubeObject[] {
  const name = guardName(orders.service, orders.identity)
  const metadata = {
    name,
    namespace: orders.namespace,
    labels: { [managedByLabel]: manager, [guardLabel]: orders.service },
    ownerReferences: [ownerReference(lease)],
  }
  const of = <T extends object>(apiVersion: string, kind: string, rest: T) => ({ apiVersion, kind, metadata, ...rest })
  const config: ConfigMap = of('v1', 'ConfigMap', {
    data: { 'guard.mjs': program, 'orders.json': JSON.stringify(orders) },
  })
  return [
    of('v1', 'ServiceAccount', { automountServiceAccountToken: false }),
    of('rbac.authorization.k8s.io/v1', 'Role', { rules: rules(orders) }),
    of('rbac.authorization.k8s.io/v1', 'RoleBinding', {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: orders.namespace }],
    }),
    config,
    of('batch/v1', 'Job', { spec: jobSpec(name, metadata.labels, image, pullPolicy) }),
  ]
}

/** By name: the one Lease, and the objects with the routes. An event can be told by its namespace only. */
function rules({ lease, saved }: GuardSpec): object[] {
  const routes = Map.groupBy(saved, (object) => kindOf(object))
  const plurals = {
    VirtualService: ['networking.istio.io', 'virtualservices'],
    HTTPRoute: ['gateway.networking.k8s.io', 'httproutes'],
    GRPCRoute: ['gateway.networking.k8s.io', 'grpcroutes'],
  } as const
  return [
    { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: [lease], verbs: ['get', 'patch'] },
    ...[...routes].map(([kind, objects]) => {
      const [group, resource] = plurals[kind as keyof typeof plurals]
      return {
        apiGroups: [group],
        resources: [resource],
        resourceNames: objects.map(({ metadata }) => metadata.name),
        verbs: ['get', 'patch'],
      }
    }),
    { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  ]
}

function jobSpec(name: string, labels: Record<string, string>, image: string, imagePullPolicy: string): object {
  return {
    // A node that goes, or an API server that is away, is no reason to give up.
    backoffLimit: 50,
    ttlSecondsAfterFinished: 60,
    template: {
      // Its traffic is to the API server alone, and a sidecar would keep the Job from ending.
      metadata: { labels: { ...labels, 'sidecar.istio.io/inject': 'false' } },
      spec: {
        serviceAccountName: name,
        automountServiceAccountToken: true,
        restartPolicy: 'OnFailure',
        terminationGracePeriodSeconds: 2,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 1000,
          runAsGroup: 1000,
          seccompProfile: { type: 'RuntimeDefault' },
        },
        containers: [
          {
            name: 'guard',
            image,
            imagePullPolicy,
            command: ['node', '--max-old-space-size=48', guardProgramFile],
            resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '160Mi' } },
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
            volumeMounts: [{ name: 'guard', mountPath: guardSpecFile.replace(/\/[^/]*$/, ''), readOnly: true }],
          },
        ],
        volumes: [{ name: 'guard', configMap: { name } }],
      },
    },
  }
}
