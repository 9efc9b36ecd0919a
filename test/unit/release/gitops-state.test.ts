import { describe, expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { gitopsState } from '../../../src/release/gitops-state.ts'
import { clusterWith } from '../fixtures.ts'
import { deployment } from './fixtures.ts'

const object = (kind: string, name: string, more: object = {}, namespace = 'flux-system'): KubeObject => ({
  apiVersion: 'test/v1',
  kind,
  metadata: { name, namespace },
  ...more,
})
const ready = (status: string, reason = '', message = '') => ({
  conditions: [
    { type: 'Reconciling', status: 'True', reason: 'Progressing', message: 'not this one' },
    { type: 'Ready', status, reason, message },
  ],
})

function labelled(labels: Record<string, string>) {
  const { metadata, ...rest } = deployment()
  return { ...rest, metadata: { ...metadata, labels } }
}
const ofKustomization = labelled({
  'kustomize.toolkit.fluxcd.io/name': 'apps',
  'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
})
const ofHelmRelease = labelled({ 'helm.toolkit.fluxcd.io/name': 'till', 'helm.toolkit.fluxcd.io/namespace': 'shop' })
const ofApplication = labelled({ 'argocd.argoproj.io/instance': 'till' })

/** What a cluster with these objects says. */
function stateOf(stable: typeof ofKustomization, ...objects: KubeObject[]) {
  const cluster: Cluster = clusterWith({
    get: (kind: string, namespace: string, name: string) =>
      Promise.resolve(
        objects.find(
          (each) => each.kind === kind && each.metadata.namespace === namespace && each.metadata.name === name,
        ),
      ),
    list: (kind: string) => Promise.resolve(objects.filter((each) => each.kind === kind)),
  })
  return gitopsState(cluster, stable)
}
const fails = (status: number, kind: string) =>
  clusterWith({
    get: () => Promise.reject(new ApiError(status, `cannot get resource "${kind}"`)),
    list: () => Promise.reject(new ApiError(status, `cannot list resource "${kind}"`)),
  })

const git = { sourceRef: { kind: 'GitRepository', name: 'fleet' } }
const applied = { ...ready('True'), lastAppliedRevision: 'main@sha1:4f1c9a2' }

describe('a Kustomization', () => {
  test.each<[string, object, string]>([
    [
      'whose build fails',
      { spec: git, status: ready('False', 'BuildFailed', 'kustomize build failed:\n  no such file') },
      'the Kustomization flux-system/apps is not ready (BuildFailed: kustomize build failed: no such file)',
    ],
    [
      'that is suspended, which it is not ready for either',
      { spec: { ...git, suspend: true }, status: ready('False', 'BuildFailed') },
      'the Kustomization flux-system/apps is suspended',
    ],
  ])('%s is a fault', async (_, more, text) => {
    expect(await stateOf(ofKustomization, object('Kustomization', 'apps', more))).toEqual({ text, isFault: true })
  })

  test('of which the message is long is quoted in part', async () => {
    const more = { status: ready('False', 'BuildFailed', 'x'.repeat(5_000)) }
    const state = await stateOf(ofKustomization, object('Kustomization', 'apps', more))
    expect(state?.text).toMatch(/^the Kustomization .* \(BuildFailed: x{300}…\)$/)
  })

  test('that works says what it has applied', async () => {
    const objects = [object('Kustomization', 'apps', { spec: git, status: applied }), object('GitRepository', 'fleet')]
    const text = 'the Kustomization flux-system/apps has applied main@sha1:4f1c9a2'
    expect(await stateOf(ofKustomization, ...objects)).toEqual({ text, isFault: false })
  })

  test.each<[string, object, string]>([
    [
      'cannot be fetched',
      { status: ready('False', 'GitOperationFailed', 'authentication required') },
      'the GitRepository sources/fleet is not ready (GitOperationFailed: authentication required)',
    ],
    ['is suspended', { spec: { suspend: true } }, 'the GitRepository sources/fleet is suspended'],
  ])('that is ready with an old revision, because its source %s, is a fault', async (_, more, text) => {
    const spec = { sourceRef: { ...git.sourceRef, namespace: 'sources' } }
    const objects = [
      object('Kustomization', 'apps', { spec, status: applied }),
      object('GitRepository', 'fleet', more, 'sources'),
    ]
    expect(await stateOf(ofKustomization, ...objects)).toEqual({ text, isFault: true })
  })

  test('that is not in this cluster is named', async () => {
    const state = await stateOf(ofKustomization)
    expect(state?.text).toBe('the Kustomization flux-system/apps that it belongs to is not in this cluster')
  })

  test('that the account may not read is named, with the page that says how to change it', async () => {
    const state = await gitopsState(fails(403, 'kustomizations'), ofKustomization)
    expect(state).toEqual({
      text: 'this run may not read the Kustomization flux-system/apps, which would say more (docs/gitops.md)',
      isFault: false,
    })
  })

  test('that the API server does not answer for is no reason to end a wait', async () => {
    expect(await gitopsState(fails(500, 'kustomizations'), ofKustomization)).toBeUndefined()
  })
})

test.each<[string, object, KubeObject]>([
  ['chartRef', { chartRef: { kind: 'OCIRepository', name: 'chart' } }, object('OCIRepository', 'chart', {}, 'shop')],
  [
    'chart',
    { chart: { spec: { sourceRef: { kind: 'HelmRepository', name: 'charts' } } } },
    object('HelmRepository', 'charts', {}, 'shop'),
  ],
])('a HelmRelease whose %s fails is a fault of that source', async (_, spec, source) => {
  const failing = { ...source, status: ready('False', 'Failed', 'no such host') }
  const state = await stateOf(
    ofHelmRelease,
    object('HelmRelease', 'till', { spec, status: ready('True') }, 'shop'),
    failing,
  )
  expect(state).toEqual({
    text: `the ${source.kind} shop/${source.metadata.name} is not ready (Failed: no such host)`,
    isFault: true,
  })
})

describe('a HelmRelease that a Kustomization applies', () => {
  const { metadata } = ofKustomization
  const history = [{ chartVersion: '2.1.0' }, { chartVersion: '2.0.0' }]
  const release = (more: object = {}) => ({
    ...object('HelmRelease', 'till', { spec: {}, status: { ...ready('True'), history }, ...more }),
    metadata: { ...metadata, name: 'till', namespace: 'shop' },
  })
  const source = object('GitRepository', 'fleet', { status: ready('False', 'GitOperationFailed') })
  const kustomization = object('Kustomization', 'apps', { spec: git, status: applied })

  test('says what both have applied', async () => {
    expect(await stateOf(ofHelmRelease, release(), kustomization)).toEqual({
      text: 'the HelmRelease shop/till has applied 2.1.0; the Kustomization flux-system/apps has applied main@sha1:4f1c9a2',
      isFault: false,
    })
  })

  test.each<[string, KubeObject[], string]>([
    [
      'the Kustomization',
      [release(), object('Kustomization', 'apps', { spec: { suspend: true } })],
      'the Kustomization flux-system/apps is suspended',
    ],
    [
      'its source',
      [release(), kustomization, source],
      'the GitRepository flux-system/fleet is not ready (GitOperationFailed)',
    ],
    [
      'the HelmRelease',
      [release({ spec: { suspend: true } }), kustomization],
      'the HelmRelease shop/till is suspended',
    ],
    [
      'both',
      [release({ spec: { suspend: true } }), kustomization, source],
      'the HelmRelease shop/till is suspended; the GitRepository flux-system/fleet is not ready (GitOperationFailed)',
    ],
    [
      'the source of both',
      [
        release({ spec: { chart: { spec: { sourceRef: { ...git.sourceRef, namespace: 'flux-system' } } } } }),
        kustomization,
        source,
      ],
      'the GitRepository flux-system/fleet is not ready (GitOperationFailed)',
    ],
  ])('has the faults of %s', async (_, objects, text) => {
    expect(await stateOf(ofHelmRelease, ...objects)).toEqual({ text, isFault: true })
  })
})

describe('an Application of Argo CD', () => {
  const automated = { syncPolicy: { automated: {} } }
  test.each<[string, object, string, boolean]>([
    [
      'that cannot compare',
      { spec: automated, status: { conditions: [{ type: 'ComparisonError', message: 'repository not found' }] } },
      'the Application till has an error (ComparisonError: repository not found)',
      true,
    ],
    [
      'whose last sync failed',
      { spec: automated, status: { operationState: { phase: 'Failed', message: 'one object failed to apply' } } },
      'the last sync of the Application till failed (one object failed to apply)',
      true,
    ],
    ['without automated sync', { spec: {} }, 'the Application till syncs only when somebody asks it to', false],
    [
      'that has synced something else',
      { spec: automated, status: { sync: { status: 'Synced', revision: '4f1c9a2' } } },
      'the Application till has synced 4f1c9a2',
      false,
    ],
    [
      'that has synced several sources',
      { spec: automated, status: { sync: { status: 'Synced', revisions: ['4f1c9a2', '2.1.0'] } } },
      'the Application till has synced 4f1c9a2, 2.1.0',
      false,
    ],
    [
      'that has compared a revision without applying it',
      {
        spec: automated,
        status: {
          operationState: { message: 'waiting for a hook' },
          sync: { status: 'OutOfSync', revision: '4f1c9a2' },
        },
      },
      'the Application till is OutOfSync at 4f1c9a2 (waiting for a hook)',
      false,
    ],
    [
      'that tries a failed sync again',
      {
        spec: automated,
        status: {
          operationState: { phase: 'Running', message: 'one or more objects failed to apply. Retrying attempt #2' },
          sync: { status: 'OutOfSync', revision: '4f1c9a2' },
        },
      },
      'the last sync of the Application till failed (one or more objects failed to apply. Retrying attempt #2)',
      true,
    ],
  ])('%s is named', async (_, more, text, isFault) => {
    expect(await stateOf(ofApplication, object('Application', 'till', more, 'argocd'))).toEqual({ text, isFault })
  })

  test('that nobody can read says nothing', async () => {
    expect(await gitopsState(fails(403, 'applications'), ofApplication)).toBeUndefined()
    expect(await stateOf(deployment() as typeof ofApplication)).toBeUndefined()
  })
})
