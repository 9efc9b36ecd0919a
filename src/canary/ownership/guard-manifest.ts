// The guard as Kubernetes objects: a Job, its program and spec, and an account with as few rights as possible. Pure.
import { managedByLabel, manager } from '../../cluster/labels.ts'
import { kindOf, type ConfigMap, type KubeObject, type Lease } from '../../cluster/objects.ts'
import { leaseName, ownerReference } from './lease-object.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import {
  guardProgramFile,
  guardProgramKey,
  guardReadinessPort,
  guardSpecFile,
  guardSpecKey,
  type GuardSpec,
} from './guard-spec.ts'

type Guard = CanaryConfig['guard']

/** On each object and pod of a guard: the service. */
const guardLabel = 'mesh-canary.io/guard'

/** Kubernetes allows 63 characters in a label's value, and a pod has its Job's name as a label. */
function shorten(name: string, tail: string): string {
  return `${name.slice(0, 62 - tail.length).replace(/[-.]+$/, '')}-${tail}`
}

/** Each claim of the Lease has a guard of its own name, because a Job cannot be changed. */
export function guardName(service: string, identity: string): string {
  return shorten(`${leaseName(service)}-guard`, /\(([0-9a-f]{8})\)$/.exec(identity)?.[1] ?? 'x')
}

/** In the order of their creation. Kubernetes deletes them together with the Lease. */
export function guardManifest(spec: GuardSpec, lease: Lease, program: string, guard: Guard): KubeObject[] {
  return guardObjects(spec, rules(spec, guardName(spec.service, spec.identity)), lease, program, guard)
}

/** The objects of a guard that reads `spec` and has the rights of `rules`. */
export function guardObjects(
  spec: Pick<GuardSpec, 'namespace' | 'service' | 'identity'>,
  rules: object[],
  lease: Lease,
  program: string,
  guard: Guard,
): KubeObject[] {
  const name = guardName(spec.service, spec.identity)
  const metadata = {
    name,
    namespace: spec.namespace,
    labels: { [managedByLabel]: manager, [guardLabel]: spec.service },
    ownerReferences: [ownerReference(lease)],
  }
  const of = <T extends object>(apiVersion: string, kind: string, rest: T) => ({ apiVersion, kind, metadata, ...rest })
  const config: ConfigMap = of('v1', 'ConfigMap', {
    data: { [guardProgramKey]: program, [guardSpecKey]: JSON.stringify(spec) },
  })
  return [
    of('v1', 'ServiceAccount', { automountServiceAccountToken: false }),
    of('rbac.authorization.k8s.io/v1', 'Role', { rules }),
    of('rbac.authorization.k8s.io/v1', 'RoleBinding', {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: spec.namespace }],
    }),
    config,
    of('batch/v1', 'Job', { spec: jobSpec(name, metadata.labels, guard) }),
  ]
}

/**
 * Rights for one Lease, the guard's own specification and the objects with the routes, by name. The rights to create events
 * and to list pods cannot be limited to names.
 */
function rules({ lease, saved }: GuardSpec, name: string): object[] {
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
    { apiGroups: [''], resources: ['configmaps'], resourceNames: [name], verbs: ['get'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
    { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  ]
}

function jobSpec(name: string, labels: Record<string, string>, { image, pullPolicy, resources }: Guard): object {
  return {
    // Neither a lost node nor an unreachable API server ends the guard.
    backoffLimit: 50,
    ttlSecondsAfterFinished: 60,
    template: {
      // The guard talks to the API server only, and a sidecar would keep the Job from completing.
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
            imagePullPolicy: pullPolicy,
            command: ['node', '--max-old-space-size=48', guardProgramFile],
            resources,
            // Often, because a run gives the canary no more traffic while the Job has no ready pod.
            readinessProbe: {
              httpGet: { path: '/', port: guardReadinessPort },
              periodSeconds: 2,
              timeoutSeconds: 5,
            },
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
