import { describe, expect, test } from 'vitest'
import { managedByLabel } from '../../../../src/cluster/labels.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import { desired } from '../../../../src/policies/desired.ts'
import { namespaceConflicts } from '../../../../src/policies/conflicts/namespace-conflicts.ts'
import { configLabel, ownerAnnotation, ownerId } from '../../../../src/policies/owned-objects.ts'
import { clusterWith, configOf, fileWith, ownerNamed } from '../../fixtures.ts'
import { policy, recordingCluster, type Policy } from '../recording-cluster.ts'

const owner = ownerNamed('mesh.yaml')
const mine = {
  labels: { [managedByLabel]: 'mesh-canary', [configLabel]: ownerId('mesh.yaml') },
  annotations: { [ownerAnnotation]: 'mesh.yaml' },
}
const at = (day: number, more: object = {}) => ({ creationTimestamp: `2026-01-0${day}T00:00:00Z`, ...more })
const config = (yaml: string) => configOf(`namespace: shop\n${yaml}`)
const conflicts = (yaml: string, live: Policy[], by = owner) =>
  namespaceConflicts(recordingCluster(live).cluster, desired(config(yaml)), by)
const manifest = (text: string) => `policies: [${fileWith(text, 'own.yaml')}]`

const permissive = policy('PeerAuthentication', 'legacy-default', { mtls: { mode: 'PERMISSIVE' } }, at(1))
const open = policy('Sidecar', 'everything', { egress: [{ hosts: ['*/*'] }] }, at(1))
const silent = policy('Telemetry', 'no-logs', { accessLogging: [{ disabled: true }] }, at(1))

describe('an older object for the whole namespace', () => {
  test.each<[string, string, Policy, string[]]>([
    [
      'PeerAuthentication',
      'mtls: strict',
      permissive,
      ['mtls: the PeerAuthentication shop/legacy-default', 'shop/default'],
    ],
    ['Sidecar', 'scope: { hosts: ["./*"] }', open, ['scope: the Sidecar shop/everything', 'Sidecar shop/default']],
    ['Telemetry', 'telemetry: { accessLogs: true }', silent, ['telemetry: the Telemetry shop/no-logs', 'shop/default']],
  ])('of the kind %s is an error with both names', async (_, yaml, theirs, words) => {
    const { faults } = await conflicts(yaml, [theirs])
    expect(faults).toHaveLength(1)
    for (const word of [...words, 'follows only the oldest', 'delete it']) expect(faults[0]).toContain(word)
  })

  test('hides one of a manifest, also in the namespace of the mesh', async () => {
    const { faults } = await conflicts(
      manifest(
        'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: mesh-wide, namespace: istio-system }\nspec: { mtls: { mode: STRICT } }\n',
      ),
      [policy('PeerAuthentication', 'default', { mtls: { mode: 'PERMISSIVE' } }, at(1, { namespace: 'istio-system' }))],
    )
    expect(faults).toEqual([
      expect.stringMatching(/^policies: .*own.yaml:1: the PeerAuthentication istio-system\/default/),
    ])
  })

  test.each<[string, Policy[]]>([
    ['says the same', [policy('PeerAuthentication', 'platform', { mtls: { mode: 'STRICT' } }, at(1))]],
    [
      'says the same as the oldest, which rules over a third one',
      [
        policy('PeerAuthentication', 'platform', { mtls: { mode: 'STRICT' } }, at(1)),
        { ...permissive, metadata: { ...permissive.metadata, ...at(2) } },
      ],
    ],
    [
      'selects workloads',
      [
        policy(
          'PeerAuthentication',
          'db',
          { selector: { matchLabels: { app: 'db' } }, mtls: { mode: 'DISABLE' } },
          at(1),
        ),
      ],
    ],
    [
      'is in another namespace',
      [policy('PeerAuthentication', 'x', { mtls: { mode: 'DISABLE' } }, at(1, { namespace: 'other' }))],
    ],
    ['is one that this run deletes', [{ ...permissive, metadata: { ...permissive.metadata, ...mine } }]],
  ])('is no error if it %s', async (_, live) => {
    expect(await conflicts('mtls: strict', live)).toEqual({ faults: [], warnings: [] })
  })

  test('with an empty selector is for the whole namespace too', async () => {
    const emptySelector = { ...permissive, spec: { ...permissive.spec, selector: { matchLabels: {} } } }
    expect((await conflicts('mtls: strict', [emptySelector])).faults).toHaveLength(1)
  })

  test('of an earlier run is an error if nothing deletes it', async () => {
    const left = { ...permissive, metadata: { ...permissive.metadata, ...mine } }
    const { faults } = await conflicts('mtls: strict', [left], { ...owner, prunes: false })
    expect(faults).toEqual([expect.stringContaining('which another run of mesh-canary wrote')])
  })
})

test('a younger object has no effect, which is a warning with both names', async () => {
  const ours = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }, at(1, mine))
  const younger = { ...permissive, metadata: { ...permissive.metadata, ...at(3) } }
  const { faults, warnings } = await conflicts('mtls: strict', [ours, younger])
  expect(faults).toEqual([])
  expect(warnings).toEqual([
    expect.stringMatching(/PeerAuthentication shop\/legacy-default .* the older PeerAuthentication shop\/default/),
  ])
})

test('of two objects of the same second, the one whose name comes first rules', async () => {
  const ours = policy('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }, at(1, mine))
  const named = (name: string) => ({ ...permissive, metadata: { ...permissive.metadata, name } })
  expect((await conflicts('mtls: strict', [ours, named('a')])).faults).toHaveLength(1)
  expect((await conflicts('mtls: strict', [ours, named('z')])).faults).toEqual([])
})

test('what the account may not read is skipped', async () => {
  const cluster = clusterWith({ list: () => Promise.reject(new ApiError(403, 'no')) })
  expect(await namespaceConflicts(cluster, desired(config('mtls: strict')), owner)).toEqual({
    faults: [],
    warnings: [],
  })
})

test('two objects for the whole namespace in one config are an error that names both places', () => {
  const second = manifest(
    'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: everyone }\nspec: { mtls: { mode: DISABLE } }\n',
  )
  expect(() => desired(config(`mtls: strict\n${second}`))).toThrow(
    /PeerAuthentication shop\/default \(the config\) and the PeerAuthentication shop\/everyone \(.*own.yaml:1\) are both/,
  )
})

describe('a Sidecar of the namespace', () => {
  const ofMesh = policy(
    'Sidecar',
    'mesh',
    { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
    at(1, { namespace: 'istio-system' }),
  )

  test('that says nothing of outbound traffic is an error where that of the mesh does', async () => {
    const { faults } = await conflicts('scope: { hosts: ["./*"] }', [ofMesh])
    expect(faults).toEqual([
      expect.stringMatching(
        /^scope: the Sidecar shop\/default replaces the Sidecar istio-system\/mesh .* REGISTRY_ONLY/,
      ),
    ])
  })

  test('may state another mode', async () => {
    expect((await conflicts('scope: { hosts: ["./*"] }\negress: { mode: allow-any }', [ofMesh])).faults).toEqual([])
  })
})

describe('another RequestAuthentication', () => {
  const jwt = 'jwt: { users: { issuer: "https://id.test", jwksUri: "https://id.test/keys" } }'
  const accepting = (rule: object, more: object = {}) =>
    policy('RequestAuthentication', 'theirs', { ...more, jwtRules: [rule] }, at(1))
  const same = { issuer: 'https://id.test', jwksUri: 'https://id.test/keys' }

  test.each<[string, object]>([
    ['keys', { ...same, jwksUri: 'https://old.test/keys' }],
    ['audiences', { ...same, audiences: ['admin'] }],
  ])('with the same issuer and other %s widens what is accepted, and is an error', async (_, rule) => {
    const { faults } = await conflicts(jwt, [accepting(rule)])
    expect(faults).toEqual([
      expect.stringMatching(/^jwt.users: the RequestAuthentication shop\/theirs .* RequestAuthentication shop\/users/),
    ])
  })

  test('with another issuer adds to what is accepted, and is a warning', async () => {
    const { faults, warnings } = await conflicts(jwt, [accepting({ issuer: 'https://other.test' })])
    expect(faults).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('tokens of the issuer https://other.test on the same pods')])
  })

  test.each<[string, Policy]>([
    ['says the same', accepting(same)],
    [
      'is for a gateway',
      policy(
        'RequestAuthentication',
        'edge',
        { selector: { matchLabels: { istio: 'ingressgateway' } }, jwtRules: [{ issuer: 'x' }] },
        at(1, { namespace: 'istio-system' }),
      ),
    ],
  ])('that %s is no concern', async (_, theirs) => {
    expect(await conflicts(jwt, [theirs])).toEqual({ faults: [], warnings: [] })
  })
})
