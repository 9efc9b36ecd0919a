// The objects of an experiment's guard, with rights for no more than what the fault touches. Pure.
import { guardName, guardObjects } from '../canary/ownership/guard-manifest.ts'
import type { KubeObject, Lease } from '../cluster/objects.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import { chaosKinds } from '../config/chaos-kinds.ts'
import type { FaultObject } from './faults/fault-object.ts'
import type { ExperimentGuardSpec } from './guard-spec.ts'

export function experimentGuard(
  spec: ExperimentGuardSpec,
  lease: Lease,
  program: string,
  guard: ExperimentConfig['guard'],
): KubeObject[] {
  return guardObjects(spec, rules(spec), lease, program, guard)
}

const resources: Partial<Record<FaultObject['kind'], [group: string, resource: string]>> = {
  VirtualService: ['networking.istio.io', 'virtualservices'],
  DestinationRule: ['networking.istio.io', 'destinationrules'],
  AuthorizationPolicy: ['security.istio.io', 'authorizationpolicies'],
  ...Object.fromEntries(chaosKinds.map((kind) => [kind, ['chaos-mesh.org', kind.toLowerCase()]])),
}

function rules({ service, identity, lease, otherLeases, objects }: ExperimentGuardSpec): object[] {
  const named = (group: string, resource: string, names: string[], verbs: string[]) => ({
    apiGroups: [group],
    resources: [resource],
    resourceNames: names,
    verbs,
  })
  return [
    named('coordination.k8s.io', 'leases', [lease, ...otherLeases], ['get', 'patch', 'delete']),
    ...objects.map(({ kind, name, undo }) => {
      const [group, resource] = resources[kind]!
      return named(group, resource, [name], ['get', undo.kind === 'delete' ? 'delete' : 'patch'])
    }),
    named('', 'configmaps', [guardName(service, identity)], ['get']),
    { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  ]
}
