import { describe, expect, test } from 'vitest'
import { managedBy } from '../../../src/cluster/labels.ts'
import type { KubeObject, ManagedFields } from '../../../src/cluster/objects.ts'
import { apply } from '../../../src/policies/apply.ts'
import { withOwnerMarks } from '../../../src/policies/owned-objects.ts'
import { planChanges } from '../../../src/policies/plan.ts'
import { ownerNamed } from '../fixtures.ts'
import { policy, recordingCluster, rule, type Policy } from './recording-cluster.ts'

const owner = ownerNamed('github.test/acme/shop mesh.yaml')
const setBy = (manager: string, fields: object, more: Partial<ManagedFields> = {}): ManagedFields => ({
  manager,
  operation: 'Update',
  fieldsV1: { 'f:spec': fields },
  ...more,
})

/** The plan while the live object has fields of others; as the API server does, the apply keeps those. */
async function planned(wanted: Policy, managedFields: ManagedFields[], added: object = {}): Promise<string[]> {
  const marked = withOwnerMarks(wanted, owner)
  const live = { ...marked, metadata: { ...marked.metadata, managedFields }, spec: { ...wanted.spec, ...added } }
  const { cluster } = recordingCluster([live])
  const apply = <T extends KubeObject>(object: T) => Promise.resolve({ ...object, spec: live.spec })
  return (await planChanges({ ...cluster, apply }, [wanted], owner)).map(({ action }) => action)
}

const defaultDeny = policy('AuthorizationPolicy', 'default-deny', {})
const entry = policy('ServiceEntry', 'mail', { hosts: ['mail.test'], ports: [{ name: 'smtp', number: 25 }] })

describe('a field that somebody has added to a policy is an error', () => {
  test('that names the object, the manager and the field', async () => {
    await expect(planned(defaultDeny, [setBy('kubectl-edit', { 'f:rules': {} })], { rules: [{}] })).rejects.toThrow(
      'AuthorizationPolicy shop/default-deny has fields that another manager owns: "kubectl-edit" has set .spec.rules, ' +
        'which this config lacks; remove them there (`kubectl --namespace shop patch authorizationpolicy default-deny ' +
        '--type merge --patch \'{"spec":{"rules":null}}\'`), or add them here',
    )
  })

  test.each<[string, Policy, object, string]>([
    [
      'inside a map',
      policy('DestinationRule', 'backend', { host: 'backend', trafficPolicy: { outlierDetection: {} } }),
      { 'f:trafficPolicy': { '.': {}, 'f:tls': { '.': {}, 'f:mode': {} } } },
      '.spec.trafficPolicy.tls',
    ],
    [
      'below a key that the config leaves empty',
      policy('DestinationRule', 'backend', { host: 'backend', trafficPolicy: null }),
      { 'f:trafficPolicy': { 'f:tls': {} } },
      '.spec.trafficPolicy',
    ],
    [
      'in a list whose items have keys',
      entry,
      { 'f:ports': { 'k:{"name":"smtp"}': { 'f:number': {} }, 'k:{"name":"http"}': { '.': {}, 'f:name': {} } } },
      '.spec.ports[{"name":"http"}]',
    ],
  ])('%s', async (_, wanted, fields, path) => {
    await expect(planned(wanted, [setBy('argocd', fields)])).rejects.toThrow(`"argocd" has set ${path},`)
  })
})

test.each<[string, Policy, ManagedFields[]]>([
  ['fields of others that the config has, too', entry, [setBy('argocd', { 'f:hosts': {}, 'f:ports': {} })]],
  ['what a promotion has written', rule('v1'), [setBy('mesh-canary', { 'f:trafficPolicy': {} })]],
  ['what Argo Rollouts has written', rule('v1'), [setBy('rollouts-controller', { 'f:exportTo': {} })]],
  ['the status', rule('v1'), [setBy('pilot-discovery', { 'f:exportTo': {} }, { subresource: 'status' })]],
  ['labels', rule('v1'), [setBy('kubectl-label', {}, { fieldsV1: { 'f:metadata': { 'f:labels': {} } } })]],
  [
    'kinds of other groups',
    { ...policy('HTTPRoute', 'web', {}), apiVersion: 'gateway.networking.k8s.io/v1' },
    [setBy('kubectl-edit', { 'f:rules': {} })],
  ],
])('%s may stay', async (_, wanted, fields) => {
  expect(await planned(wanted, fields)).toEqual(['unchanged'])
})

test('what others have set on an object that the user hands over is planned as a removal, and taken away', async () => {
  const wanted = policy('VirtualService', 'backend', { hosts: ['backend'], http: [] })
  const handedOver = {
    ...wanted,
    spec: { ...wanted.spec, gateways: ['mesh'] },
    metadata: {
      ...wanted.metadata,
      labels: managedBy,
      managedFields: [setBy('flagger', { 'f:hosts': {}, 'f:gateways': {} })],
    },
  }
  const { cluster } = recordingCluster([handedOver])
  const merged: object[] = []
  const withFields: typeof cluster = {
    ...cluster,
    apply: <T extends KubeObject>(object: T) => Promise.resolve({ ...object, spec: handedOver.spec }),
    merge: ((...args: object[]) => Promise.resolve(void merged.push(args))) as unknown as typeof cluster.merge,
  }
  const changes = await planChanges(withFields, [wanted], owner)
  expect(changes[0]?.diff.filter((line) => line.includes('spec'))).toEqual(['- spec.gateways[0]: mesh'])
  await apply(
    withFields,
    changes,
    () => Promise.resolve(() => Promise.resolve()),
    () => undefined,
  )
  expect(merged).toEqual([['VirtualService', 'shop', 'backend', { spec: { gateways: null } }]])
})
