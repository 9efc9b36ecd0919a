import { describe, expect, test } from 'vitest'
import { planCopies } from '../../../src/release/selector-copies.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'

const versions = {
  name: 'till',
  stable: { app: 'till', team: 'pay' },
  canary: { app: 'till-canary', team: 'pay', 'mesh-canary.io/canary': 'till' },
}
const object = (kind: string, spec: object, meta: object = {}): KubeObject =>
  ({ apiVersion: 'x/v1', kind, metadata: { name: 'guarded', namespace: 'shop', ...meta }, spec }) as KubeObject
const cover = (...objects: KubeObject[]) => planCopies(objects, 'shop', versions)
const specs = (...objects: KubeObject[]) => cover(...objects).copies.map((each) => (each as { spec?: unknown }).spec)

test('what selects both versions needs no copy', () => {
  const found = cover(
    object('NetworkPolicy', { podSelector: {}, policyTypes: ['Ingress'] }),
    object('AuthorizationPolicy', { rules: [] }),
    object('PeerAuthentication', { selector: { matchLabels: { team: 'pay' } } }),
    object('PodDisruptionBudget', { selector: { matchLabels: { app: 'other' } } }),
  )
  expect(found).toEqual({ copies: [], faults: [] })
})

test('a policy for stable alone gets a copy for the canary', () => {
  const policy = object('AuthorizationPolicy', {
    selector: { matchLabels: { app: 'till', team: 'pay' } },
    action: 'DENY',
    rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
  })
  expect(cover(policy).copies).toEqual([
    {
      ...policy,
      metadata: {
        name: 'guarded-till-canary',
        namespace: 'shop',
        labels: { 'app.kubernetes.io/managed-by': 'mesh-canary', 'mesh-canary.io/canary': 'till' },
      },
      spec: {
        selector: { matchLabels: { app: 'till-canary', team: 'pay' } },
        action: 'DENY',
        rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
      },
    },
  ])
})

test('a network policy of another workload also lets the canary in', () => {
  const policy = object('NetworkPolicy', {
    podSelector: { matchLabels: { app: 'ledger' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'till' } } }], ports: [{ port: 5432 }] }],
  })
  expect(specs(policy)).toEqual([
    {
      podSelector: { matchLabels: { app: 'ledger' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'till-canary' } } }], ports: [{ port: 5432 }] }],
    },
  ])
})

test('two services that one policy is for get a copy each', () => {
  const expression = { key: 'app', operator: 'In', values: ['till', 'desk'] }
  const policy = object('NetworkPolicy', { podSelector: { matchExpressions: [expression] } })
  const ofDesk = { name: 'desk', stable: { app: 'desk' }, canary: { app: 'desk-canary' } }
  const copies = [versions, ofDesk].flatMap((each) => planCopies([policy], 'shop', each).copies)
  expect(copies.map(({ metadata }) => metadata.name)).toEqual(['guarded-till-canary', 'guarded-desk-canary'])
})

test('expressions and the selectors of proxies are rewritten as well', () => {
  const expression = { key: 'app', operator: 'In', values: ['till', 'desk'] }
  expect(
    specs(
      object('PodDisruptionBudget', { selector: { matchExpressions: [expression] }, maxUnavailable: 1 }),
      object('EnvoyFilter', { workloadSelector: { labels: { app: 'till' } }, configPatches: [] }),
    ),
  ).toEqual([
    { selector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['till-canary'] }] }, maxUnavailable: 1 },
    { workloadSelector: { labels: { app: 'till-canary' } }, configPatches: [] },
  ])
})

test('a copy is for nobody else: it loses the marks of Helm, Argo CD and the config that owns the original', () => {
  const policy = object(
    'PeerAuthentication',
    { selector: { matchLabels: { app: 'till' } } },
    {
      labels: { 'app.kubernetes.io/instance': 'shop', release: 'prometheus', 'mesh-canary.io/config': '1234' },
      annotations: { 'argocd.argoproj.io/tracking-id': 'a:b', 'istio.io/dry-run': 'true' },
    },
  )
  const [copy] = cover(policy).copies
  expect(copy?.metadata.labels).toEqual({
    release: 'prometheus',
    'app.kubernetes.io/managed-by': 'mesh-canary',
    'mesh-canary.io/canary': 'till',
  })
  expect(copy?.metadata.annotations).toEqual({ 'istio.io/dry-run': 'true' })
})

test('what cannot be copied is named: a policy of another namespace, and one for a label that the release drops', () => {
  const { faults, copies } = planCopies(
    [
      object('AuthorizationPolicy', { selector: { matchLabels: { app: 'till' } } }, { namespace: 'istio-system' }),
      object('NetworkPolicy', { podSelector: { matchLabels: { zone: 'inner' } } }),
    ],
    'shop',
    { ...versions, stable: { ...versions.stable, zone: 'inner' } },
  )
  expect(copies).toEqual([])
  expect(faults).toHaveLength(2)
  expect(faults[0]).toContain('the AuthorizationPolicy istio-system/guarded selects pods of till')
  expect(faults[0]).toContain('app=till-canary')
  expect(faults[1]).toContain('zone=inner')
})

test('a policy of Cilium gets a copy: for what it protects, for whom it lets in, and for each of several rules', () => {
  const policy = object('CiliumNetworkPolicy', {
    endpointSelector: { matchLabels: { 'k8s:app': 'till' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'desk' } }, { matchLabels: { 'any:app': 'till' } }] }],
  })
  const several = {
    ...object('CiliumNetworkPolicy', undefined as never),
    specs: [{ endpointSelector: { matchLabels: { app: 'till', 'io.cilium.k8s.policy.serviceaccount': 'till' } } }],
  }
  const other = object('CiliumNetworkPolicy', { endpointSelector: { matchLabels: { app: 'desk' } } })
  const { copies, faults } = cover(policy, several, other)
  expect(faults).toEqual([])
  expect(copies).toMatchObject([
    {
      spec: {
        endpointSelector: { matchLabels: { 'k8s:app': 'till-canary' } },
        ingress: [{ fromEndpoints: [{ matchLabels: { app: 'desk' } }, { matchLabels: { 'any:app': 'till-canary' } }] }],
      },
    },
    {
      specs: [
        { endpointSelector: { matchLabels: { app: 'till-canary', 'io.cilium.k8s.policy.serviceaccount': 'till' } } },
      ],
    },
  ])
})

test.each(['AdminNetworkPolicy', 'BaselineAdminNetworkPolicy'])('a policy of administrators is named: %s', (kind) => {
  const pods = { namespaceSelector: {}, podSelector: { matchLabels: { app: 'till' } } }
  const policy = object(kind, { subject: { pods } }, { namespace: undefined })
  expect(cover(policy).faults).toEqual([expect.stringContaining(`the ${kind} guarded selects pods of till`)])
})

test.each(['CiliumClusterwideNetworkPolicy', 'NetworkPolicy'])('a cluster-wide policy cannot be copied: %s', (kind) => {
  const policy = object(kind, { endpointSelector: { matchLabels: { app: 'till' } } }, { namespace: undefined })
  expect(cover(policy).faults).toEqual([expect.stringContaining(`the ${kind} guarded selects pods of till`)])
})

describe('a policy of Calico', () => {
  const calico = (spec: object, name = 'guarded') => ({
    ...object('NetworkPolicy', spec, { name }),
    apiVersion: 'projectcalico.org/v3',
  })

  test.each<[string, object]>([
    ['that protects stable', { selector: "app == 'till'", ingress: [] }],
    ['that lets stable in', { selector: "app == 'desk'", ingress: [{ source: { selector: "app in {'till'}" } }] }],
    [
      'that does not refuse stable',
      { egress: [{ destination: { notSelector: "app starts with 'till' && !has(mesh-canary.io/canary)" } }] },
    ],
    ['that refuses stable as a peer', { ingress: [{ action: 'Deny', source: { notSelector: "app != 'till'" } }] }],
    ['that protects stable in some namespaces', { selector: "pcns.env == 'prod' && app == 'till'" }],
    [
      'that protects stable with an account',
      { selector: "has(projectcalico.org/serviceaccount) && app != 'till-canary'" },
    ],
    ['that cannot be read', { selector: 'app ~ till' }],
  ])('%s and not the canary is named, because copies have no order', (_, spec) => {
    const { faults, copies } = cover(calico(spec))
    expect(copies).toEqual([])
    expect(faults).toEqual([expect.stringContaining('the NetworkPolicy shop/guarded selects pods of till')])
  })

  test('that selects both, or none, or that stands for one of Kubernetes needs nothing', () => {
    const found = cover(
      calico({ selector: "team == 'pay'" }),
      calico({ selector: "app == 'desk'" }),
      calico({ selector: "pcns.env == 'prod' && team == 'pay'" }),
      calico({ selector: "app == 'till'" }, 'knp.default.walls'),
    )
    expect(found).toEqual({ copies: [], faults: [] })
  })
})

test('a monitor that selects the Service of stable gets a copy for that of the canary', () => {
  const monitor = object('ServiceMonitor', { selector: { matchLabels: { app: 'till', part: 'web' } }, endpoints: [] })
  const service = { stable: { app: 'till', part: 'web' }, canary: { app: 'till' } }
  expect(planCopies([monitor], 'shop', versions)).toEqual({ copies: [], faults: [] })
  expect(planCopies([monitor], 'shop', { ...versions, service }).faults).toHaveLength(1)
})
