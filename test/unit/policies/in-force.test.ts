import { describe, expect, test } from 'vitest'
import type { KubeObject, ManagedFields } from '../../../src/cluster/objects.ts'
import { isInForce } from '../../../src/policies/in-force.ts'

const http = [{ route: [{ destination: { host: 'backend' }, weight: 100 }] }]
const wanted = (more: object = {}, labels: Record<string, string> = { managed: 'yes' }) =>
  ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'backend', namespace: 'shop', resourceVersion: '7', labels },
    spec: { hosts: ['backend'], http, ...more },
  }) as KubeObject

/** As the API server records an apply of `wanted()`. */
const applied: ManagedFields = {
  manager: 'mesh-canary',
  operation: 'Apply',
  fieldsV1: {
    'f:metadata': { 'f:labels': { 'f:managed': {} } },
    'f:spec': { 'f:hosts': {}, 'f:http': {} },
  },
}
const live = (fields: ManagedFields[] = [applied], more: object = {}) => {
  const { metadata, ...rest } = wanted(more, { managed: 'yes', team: 'shop' })
  return { ...rest, metadata: { ...metadata, uid: '1', generation: 3, managedFields: fields } } as KubeObject
}

describe('an apply changes nothing', () => {
  test('if this program applied the same fields, and they have the same values', () => {
    expect(isInForce(wanted(), live())).toBe(true)
  })

  test('if another manager owns further fields and labels, which `foreignFields` judges', () => {
    const status = { manager: 'pilot-discovery', operation: 'Update', subresource: 'status', fieldsV1: {} }
    expect(isInForce(wanted(), live([status, applied], { exportTo: ['.'] }))).toBe(true)
  })
})

describe('a dry run decides', () => {
  test.each<[string, KubeObject, KubeObject]>([
    ['a value differs', wanted({ hosts: ['frontend'] }), live()],
    ['somebody has changed the value in the cluster', wanted(), live([applied], { http: [] })],
    ['a field is new', wanted({ exportTo: ['.'] }), live([applied], { exportTo: ['.'] })],
    ['a label is new', wanted({}, { managed: 'yes', team: 'shop' }), live()],
    ['an applied label is no longer wanted', wanted({}, {}), live()],
    ['an applied field is no longer wanted', wanted({ http: undefined }), live()],
    ['nobody has applied the object', wanted(), live([])],
    ['this program has only patched it', wanted(), live([{ ...applied, operation: 'Update' }])],
    ['another program has applied it', wanted(), live([{ ...applied, manager: 'argocd' }])],
    ['this program applied only its status', wanted(), live([{ ...applied, subresource: 'status' }])],
    ['the record has no fields', wanted(), live([{ manager: 'mesh-canary', operation: 'Apply' }])],
    [
      'the record names entries of a list',
      wanted(),
      live([
        { ...applied, fieldsV1: { 'f:spec': { 'f:http': { 'k:{"name":"a"}': { 'f:name': {} } }, 'f:hosts': {} } } },
      ]),
    ],
  ])('if %s', (_, object, present) => {
    expect(isInForce(object, present)).toBe(false)
  })
})
