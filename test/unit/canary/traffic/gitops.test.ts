import { describe, expect, test } from 'vitest'
import { gitopsWarnings } from '../../../../src/canary/traffic/gitops.ts'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { virtualService } from '../../fixtures.ts'

const destinations = ['v1', 'v2'].map((subset, i) => ({
  destination: { host: 'backend', subset },
  weight: i === 0 ? 95 : 5,
}))
/** Two routes that split and one that does not. */
const routes = [
  { name: 'first', route: destinations },
  { name: 'single', route: destinations.slice(0, 1) },
  { name: 'second', route: destinations },
]
type Metadata = Partial<KubeObject['metadata']>
const split = (metadata: Metadata) => virtualService(routes, metadata)

describe('an object that no controller manages', () => {
  test.each<[string, Metadata]>([
    ['no labels at all', {}],
    [
      'the labels of a chart',
      { labels: { 'app.kubernetes.io/instance': 'shop', 'app.kubernetes.io/managed-by': 'Helm' } },
    ],
    ["Flux's namespace without a name", { labels: { 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' } }],
    ['an annotation of the same name as the label', { annotations: { 'kustomize.toolkit.fluxcd.io/name': 'apps' } }],
    [
      'the tracking id of the object that it was copied from',
      { annotations: { 'argocd.argoproj.io/tracking-id': 'shop:networking.istio.io/VirtualService:staging/backend' } },
    ],
    [
      'the tracking id of another kind of the same name',
      { annotations: { 'argocd.argoproj.io/tracking-id': 'shop:networking.istio.io/DestinationRule:shop/backend' } },
    ],
  ])('gets no warning with %s', (_, metadata) => {
    expect(gitopsWarnings(split(metadata), [])).toEqual([])
  })
})

describe('a Kustomization of Flux', () => {
  const labels = { 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' }

  test('is named, with the remedy', () => {
    expect(gitopsWarnings(split({ labels }), [])).toEqual([
      'Flux manages VirtualService shop/backend with the Kustomization flux-system/apps and resets its weights at each reconciliation; annotate the object in its source with kustomize.toolkit.fluxcd.io/ssa: IfNotPresent, or in the cluster, during the promotion, with kustomize.toolkit.fluxcd.io/reconcile: disabled',
    ])
  })

  test.each<[Metadata, number]>([
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'IfNotPresent' } }, 0],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'ifnotpresent' } }, 0],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'Ignore' } }, 0],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/reconcile': 'disabled' } }, 0],
    [{ labels: { ...labels, 'kustomize.toolkit.fluxcd.io/reconcile': 'Disabled' } }, 0],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'Merge' } }, 1],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'Override' } }, 1],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/ssa': 'disabled' } }, 1],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/reconcile': 'enabled' } }, 1],
    [{ annotations: { 'kustomize.toolkit.fluxcd.io/prune': 'disabled' } }, 1],
    [{ annotations: { 'helm.toolkit.fluxcd.io/driftDetection': 'disabled' } }, 1],
  ])('with %j gives %i warnings', (metadata, warnings) => {
    expect(gitopsWarnings(split({ labels, ...metadata }), [])).toHaveLength(warnings)
  })
})

describe('a HelmRelease of Flux', () => {
  const labels = { 'helm.toolkit.fluxcd.io/name': 'shop', 'helm.toolkit.fluxcd.io/namespace': 'apps' }

  test('is named, with the remedy', () => {
    expect(gitopsWarnings(split({ labels }), [])).toEqual([
      'Flux manages VirtualService shop/backend with the HelmRelease apps/shop and resets its weights if driftDetection.mode is enabled there; annotate the object in its chart with helm.toolkit.fluxcd.io/driftDetection: disabled, or set the mode to disabled or warn',
    ])
  })

  test.each<[Metadata, number]>([
    [{ annotations: { 'helm.toolkit.fluxcd.io/driftDetection': 'disabled' } }, 0],
    [{ labels: { ...labels, 'helm.toolkit.fluxcd.io/driftDetection': 'disabled' } }, 0],
    [{ annotations: { 'helm.toolkit.fluxcd.io/driftDetection': 'enabled' } }, 1],
    // The helm-controller knows none of the kustomize-controller's annotations.
    [
      {
        annotations: {
          'kustomize.toolkit.fluxcd.io/ssa': 'IfNotPresent',
          'kustomize.toolkit.fluxcd.io/reconcile': 'disabled',
        },
      },
      1,
    ],
  ])('with %j gives %i warnings', (metadata, warnings) => {
    expect(gitopsWarnings(split({ labels, ...metadata }), [])).toHaveLength(warnings)
  })
})

const application = (spec: object, metadata: Metadata = {}): KubeObject => ({
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'Application',
  metadata: { name: 'shop', namespace: 'argocd', ...metadata },
  ...{ spec },
})
const tracked = (name = 'shop'): Metadata => ({
  annotations: { 'argocd.argoproj.io/tracking-id': `${name}:networking.istio.io/VirtualService:shop/backend` },
})
const healing = { automated: { selfHeal: true } }
const respecting = { ...healing, syncOptions: ['CreateNamespace=true', 'RespectIgnoreDifferences=true'] }
const istio = { group: 'networking.istio.io', kind: 'VirtualService' }
const weights = { ...istio, jqPathExpressions: ['.spec.http[].route[].weight'] }
const ignoring =
  'ignoreDifferences for the weights of the VirtualService (jqPathExpressions, or managedFieldsManagers: [mesh-canary])'

describe('an Application of Argo CD', () => {
  test.each<[string, Metadata, KubeObject[]]>([
    ['its tracking id', tracked(), []],
    [
      'its tracking id beside a label that charts set',
      { ...tracked(), labels: { 'app.kubernetes.io/instance': 'other' } },
      [application({ syncPolicy: healing }, { name: 'other' })],
    ],
    [
      "Argo CD's own label",
      { labels: { 'argocd.argoproj.io/instance': 'shop' } },
      [application({ syncPolicy: healing }, { name: 'other' })],
    ],
  ])('is known from %s, even if this run cannot read it', (_, metadata, applications) => {
    expect(gitopsWarnings(split(metadata), applications)).toEqual([
      `Argo CD manages VirtualService shop/backend with the Application shop, and this run cannot read the Application, so Argo CD may undo the weights; check that the Application has no automated selfHeal, or has ${ignoring} and the sync option RespectIgnoreDifferences=true`,
    ])
  })

  test.each<[string, Metadata, KubeObject]>([
    ['its tracking id', tracked(), application({ syncPolicy: healing })],
    [
      'its tracking id with a namespace',
      tracked('teams_shop'),
      application({ syncPolicy: healing }, { namespace: 'teams' }),
    ],
    [
      'the label of older versions of Argo CD',
      { labels: { 'app.kubernetes.io/instance': 'shop' } },
      application({ syncPolicy: healing }),
    ],
  ])('is found from %s', (_, metadata, owner) => {
    const [warning, ...more] = gitopsWarnings(split(metadata), [application({}, { name: 'other' }), owner])
    expect(warning).toContain('resets its weights within seconds')
    expect(more).toEqual([])
  })

  test.each<[string, object, string]>([
    ['both', { syncPolicy: healing }, `${ignoring} and the sync option RespectIgnoreDifferences=true`],
    [
      'the sync option',
      { syncPolicy: healing, ignoreDifferences: [weights] },
      'the sync option RespectIgnoreDifferences=true',
    ],
    ['rules to ignore differences', { syncPolicy: respecting }, ignoring],
    ['rules to ignore differences, when they are null', { syncPolicy: respecting, ignoreDifferences: null }, ignoring],
  ])('lacks %s', (_, spec, missing) => {
    expect(gitopsWarnings(split(tracked()), [application(spec)])).toEqual([
      `Argo CD manages VirtualService shop/backend with the Application shop and resets its weights within seconds (syncPolicy.automated.selfHeal); add ${missing} to the Application, or turn selfHeal off during the promotion`,
    ])
  })

  test.each<[string, object]>([
    ['no sync policy', {}],
    ['no automated sync', { syncPolicy: { automated: null } }],
    ['automated sync without selfHeal', { syncPolicy: { automated: { prune: true } } }],
    ['selfHeal false', { syncPolicy: { automated: { selfHeal: false } } }],
    ['automated sync that is disabled', { syncPolicy: { automated: { selfHeal: true, enabled: false } } }],
  ])('does not undo the weights with %s', (_, spec) => {
    expect(gitopsWarnings(split(tracked()), [application(spec)])).toEqual([])
  })

  test('undoes the weights when automated sync is explicitly enabled', () => {
    expect(
      gitopsWarnings(split(tracked()), [application({ syncPolicy: { automated: { selfHeal: true, enabled: true } } })]),
    ).toHaveLength(1)
  })
})

describe('the weights are ignored', () => {
  const isWarned = (rules: object[], object: KubeObject = split(tracked())) =>
    gitopsWarnings(object, [application({ syncPolicy: respecting, ignoreDifferences: rules })]).length > 0

  test.each<[string, object]>([
    ['by every weight', weights],
    ['by an expression with optional parts', { ...istio, jqPathExpressions: ['.spec.http[]?.route[]?.weight'] }],
    ['by the list of destinations', { ...istio, jqPathExpressions: ['.spec.http[].route'] }],
    [
      'by one expression per route',
      { ...istio, jqPathExpressions: ['.spec.http[0].route[].weight', '.spec.http[2].route[].weight'] },
    ],
    [
      'by a select',
      {
        ...istio,
        jqPathExpressions: ['.spec.http[] | select(.name == "first" or .name == "second") | .route[].weight'],
      },
    ],
    [
      'by a select in the middle of a path',
      { ...istio, jqPathExpressions: ['.spec.http[] | select(.route).route[].weight'] },
    ],
    ['by an expression that begins with a single dot', { ...istio, jqPathExpressions: ['. | .spec.http'] }],
    ['by quoted keys', { ...istio, jqPathExpressions: ['.["spec"]["http"][].route[].weight'] }],
    ['by a pointer to the routes', { ...istio, jsonPointers: ['/spec/http'] }],
    [
      'by a pointer to each weight',
      { ...istio, jsonPointers: [0, 2].flatMap((i) => [0, 1].map((j) => `/spec/http/${i}/route/${j}/weight`)) },
    ],
    ['by our name as a field manager', { ...istio, managedFieldsManagers: ['kubectl', 'mesh-canary'] }],
    ['for every kind', { ...weights, group: '*', kind: '*' }],
    ["for Istio's kinds", { ...weights, group: '*.istio.io' }],
    ['for exactly this object', { ...weights, name: 'backend', namespace: 'shop' }],
  ])('%s', (_, rule) => {
    expect(isWarned([rule])).toBe(false)
  })

  test.each<[string, object]>([
    ['by one route of two', { ...istio, jqPathExpressions: ['.spec.http[0].route[].weight'] }],
    ['by one pointer of four', { ...istio, jsonPointers: ['/spec/http/0/route/0/weight'] }],
    ['by a path below a weight', { ...istio, jqPathExpressions: ['.spec.http[].route[].weight[]'] }],
    ['by other fields', { ...istio, jqPathExpressions: ['.spec.http[].timeout', '.spec.tcp', '.metadata'] }],
    ['by a key with the same beginning', { ...istio, jsonPointers: ['/spec/htt'] }],
    ['by a star in a pointer, where it has no meaning', { ...istio, jsonPointers: ['/spec/http/*/route/*/weight'] }],
    ['by a pointer to the whole object, which ignores nothing', { ...istio, jsonPointers: [''] }],
    ['by an expression that is not a path', { ...istio, jqPathExpressions: ['.spec.http | map(.route)'] }],
    ['by a single dot', { ...istio, jqPathExpressions: ['.'] }],
    ['by another manager', { ...istio, managedFieldsManagers: ['mesh-canary-other'] }],
    ['for the core group', { ...weights, group: undefined }],
    ['for another group', { ...weights, group: 'gateway.networking.k8s.io' }],
    ['for a group whose dot is no wildcard', { ...weights, group: 'networking.istio.i.' }],
    ['for another kind', { ...weights, kind: 'DestinationRule' }],
    ['for another object', { ...weights, name: 'frontend' }],
    ['for another namespace', { ...weights, namespace: 'staging' }],
  ])('not %s', (_, rule) => {
    expect(isWarned([rule])).toBe(true)
  })

  test('by several rules together', () => {
    const [first, second] = [0, 2].map((i) => ({ ...istio, jqPathExpressions: [`.spec.http[${i}].route[].weight`] }))
    expect([isWarned([first!]), isWarned([first!, second!])]).toEqual([true, false])
  })

  test('only if the rules include weights that are not written yet', () => {
    const unwritten = virtualService(
      [{ route: destinations }, { route: destinations.map(({ destination }) => ({ destination })) }],
      tracked(),
    )
    expect(isWarned([{ ...istio, jqPathExpressions: ['.spec.http[0].route[].weight'] }], unwritten)).toBe(true)
  })

  test('also in tcp and tls routes', () => {
    const object = { ...split(tracked()), spec: { tcp: [{ route: destinations }], tls: [{ route: destinations }] } }
    expect([
      isWarned([weights], object),
      isWarned([{ ...istio, jqPathExpressions: ['.spec.tcp', '.spec.tls'] }], object),
    ]).toEqual([true, false])
  })

  test('in an HTTPRoute', () => {
    const object: KubeObject = {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'web', namespace: 'shop', labels: { 'argocd.argoproj.io/instance': 'shop' } },
      ...{ spec: { rules: [{ backendRefs: [{ name: 'web-v1' }, { name: 'web-v2' }] }] } },
    }
    const rule = {
      group: 'gateway.networking.k8s.io',
      kind: 'HTTPRoute',
      jqPathExpressions: ['.spec.rules[].backendRefs[].weight'],
    }
    expect([isWarned([weights], object), isWarned([rule], object)]).toEqual([true, false])
  })
})
