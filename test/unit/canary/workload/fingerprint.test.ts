import { describe, expect, test } from 'vitest'
import { planHash, releaseHash, templateHash, workloadsOf } from '../../../../src/canary/workload/fingerprint.ts'
import type { Workload } from '../../../../src/cluster/objects.ts'
import { planOf, pod, workload } from '../../fixtures.ts'

type Template = Workload['spec']['template']

function made(template: Template, name = 'backend-v2', replicas = 1): Workload {
  const one = workload('Deployment', name, {}, { replicas })
  return { ...one, spec: { ...one.spec, template } }
}

describe('the hash of a plan', () => {
  const before = planHash(planOf())

  test.each([
    'until: 25',
    'guard: off',
    'guard: { image: node, after: 60s }',
    'leaseWaitTimeout: 10m',
    'webhooks: { tell: { type: event, url: "http://x.test" } }',
    'explain: true',
    'progressDeadline: 5m',
    'confirmTimeout: 1h',
    'pollInterval: 1s',
    'onFail: hold',
    'onCancel: hold',
    'onDrift: take-over',
    'after: adopt',
  ])('does not depend on `%s`', (more) => {
    expect(planHash(planOf(more))).toBe(before)
  })

  test('does not depend on the order of keys', () => {
    const reordered = Object.fromEntries(
      Object.entries({ ...planOf(), checks: Object.fromEntries(Object.entries(planOf().checks).reverse()) }).reverse(),
    ) as ReturnType<typeof planOf>
    expect(Object.keys(reordered)).not.toEqual(Object.keys(planOf()))
    expect(planHash(reordered)).toBe(before)
  })

  test.each([
    'stable: v0',
    'canary: v3',
    'routes: [checkout]',
    'steps: [5, 50, 100]',
    'interval: 31s',
    'mirror: { percent: 10% }',
    'ab: { match: { headers: { x-beta: "yes" } } }',
    'advance: early',
    'checks: { successRate: 98% }',
    'checks: { falseRollback: 5% }',
    'checks: { noWorseThanStable: { margin: 2 } }',
    'onInconclusive: promote',
  ])('depends on `%s`', (more) => {
    expect(planHash(planOf(more))).not.toBe(before)
  })

  test('depends on the order of the steps', () => {
    expect(planHash({ ...planOf(), steps: [...planOf().steps].reverse() })).not.toBe(before)
  })
})

describe('the hash of a template', () => {
  const template: Template = {
    metadata: { labels: { app: 'backend', version: 'v2' } },
    spec: { containers: [{ name: 'app', image: 'backend:2' }] },
  }
  const withEnv = (value: string) => ({
    ...template,
    spec: { containers: [{ name: 'app', image: 'backend:2', env: [{ name: 'MODE', value }] }] },
  })
  const annotated = (annotations: Record<string, string>): Template => ({
    ...template,
    metadata: { ...template.metadata, annotations },
  })
  const hash = (of: Template, replicas = 1) => templateHash([made(of, 'backend-v2', replicas)], [])
  const stamp = 'kubectl.kubernetes.io/restartedAt'

  test.each<[string, Template, Template]>([
    ['a first restart', template, annotated({ [stamp]: '2026-11-24T20:00:00Z' })],
    ['a restart by Rancher', template, annotated({ 'cattle.io/timestamp': '2026-11-24T20:00:00Z' })],
    [
      'another restart',
      annotated({ [stamp]: '2026-11-24T20:00:00Z', team: 'shop' }),
      annotated({ team: 'shop', [stamp]: '2026-11-25T20:00:00Z' }),
    ],
    [
      'the order of the keys',
      template,
      {
        spec: { containers: [{ image: 'backend:2', name: 'app' }] },
        metadata: { labels: { version: 'v2', app: 'backend' } },
      },
    ],
  ])('does not depend on %s', (_, a, b) => {
    expect(hash(b)).toBe(hash(a))
  })

  const variable = { name: 'STAKATER_RATES_CONFIGMAP', value: '0c1f' }
  const reloads: [string, Template][] = [
    ['an annotation of Reloader', annotated({ 'reloader.stakater.com/last-reloaded-from': '{"hash":"0c1f"}' })],
    ['an annotation of Wave', annotated({ 'wave.pusher.com/config-hash': '0c1f' })],
    [
      'a variable of Reloader',
      { ...template, spec: { containers: [{ name: 'app', image: 'backend:2', env: [variable] }] } },
    ],
  ]

  test.each(reloads)('with %s is that of the same release, but of pods with another configuration', (_, reloaded) => {
    expect(releaseHash(reloaded)).toBe(releaseHash(template))
    expect(hash(reloaded)).not.toBe(hash(template))
  })

  test('of a release depends on every other variable, also beside one of Reloader', () => {
    const both = (value: string): Template => ({
      ...template,
      spec: { containers: [{ name: 'app', env: [{ name: 'STAKATER_MODE', value }, variable] }] },
    })
    expect(releaseHash(both('fast'))).not.toBe(releaseHash(both('slow')))
  })

  test('does not depend on the number of pods', () => {
    expect(hash(template, 7)).toBe(hash(template, 1))
  })

  test('does not depend on the order of the workloads, or on the images that their pods run at the moment', () => {
    const [a, b] = [made(template, 'backend-a'), made(withEnv('b'), 'backend-b')]
    expect(templateHash([b, a], [pod()])).toBe(templateHash([a, b], []))
  })

  test.each<[string, Template, Template]>([
    ['the image', template, { ...template, spec: { containers: [{ name: 'app', image: 'backend:3' }] } }],
    ['the environment', withEnv('fast'), withEnv('slow')],
    ['the labels', template, { ...template, metadata: { labels: { app: 'backend', version: 'v2', tier: 'gold' } } }],
    [
      'the annotations, such as a checksum of the configuration',
      annotated({ 'checksum/config': 'a' }),
      annotated({ 'checksum/config': 'b' }),
    ],
    [
      'the order of the containers',
      { ...template, spec: { containers: [{ name: 'a' }, { name: 'b' }] } },
      { ...template, spec: { containers: [{ name: 'b' }, { name: 'a' }] } },
    ],
  ])('depends on %s', (_, a, b) => {
    expect(hash(b)).not.toBe(hash(a))
  })

  test('is the one of the images of the pods when there is no workload, whatever their number and order', () => {
    const running = (...images: string[]) =>
      images.map((image) => pod({ spec: { containers: [{ name: 'app', image }] } }))
    expect(templateHash([], running('b:1', 'a:1', 'b:1'))).toBe(templateHash([], running('a:1', 'b:1')))
    expect(templateHash([], running('b:2'))).not.toBe(templateHash([], running('b:1')))
  })
})

test('workloadsOf finds the workloads whose pods get the labels of a version', () => {
  const of = (name: string, labels?: Record<string, string>) =>
    made({ ...(labels ? { metadata: { labels } } : {}), spec: { containers: [] } }, name)
  const all = [
    of('v2', { app: 'backend', version: 'v2', extra: 'x' }),
    of('v1', { app: 'backend', version: 'v1' }),
    of('other', { version: 'v2' }),
    of('bare'),
  ]
  expect(workloadsOf(all, { app: 'backend', version: 'v2' }).map(({ metadata }) => metadata.name)).toEqual(['v2'])
})
