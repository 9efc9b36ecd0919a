// The section `clusters`: what each cluster of a fleet gets, and what is rejected.
import { describe, expect, test } from 'vitest'
import { fleetOf } from '../../../src/config/fleet.ts'
import { configOf, refusal } from '../fixtures.ts'

const text = (clusters: string, more = '') =>
  `namespace: shop\n${more}canary: { service: backend }\nclusters: ${clusters}\n`

test('each cluster gets the config with its own kubeconfig and context, and its part of the chance of a false rollback', () => {
  const fleet = fleetOf(
    configOf(text('{ eu: { context: eu }, us: { kubeconfig: us.yaml, wave: 2 } }', 'kubeconfig: all.yaml\n')),
  )
  expect(fleet).toMatchObject([
    { name: 'eu', wave: 1, config: { namespace: 'shop', kubeconfig: 'all.yaml', context: 'eu' } },
    { name: 'us', wave: 2, config: { namespace: 'shop', kubeconfig: 'us.yaml' } },
  ])
  for (const { config } of fleet) {
    expect(config).not.toHaveProperty('clusters')
    expect(config.canary!.checks).toMatchObject({ falseRollback: 0.005, falsePromotion: 0.05 })
  }
  expect(fleet[1]!.config).not.toHaveProperty('context')
})

test.each([
  ['with `together: false`', '{ eu: { context: a }, us: { context: b } }', 'together: false\n'],
  ['in one cluster', '{ eu: { context: a } }', ''],
])('an engine may promote %s', (_, clusters, more) => {
  const config = text(clusters, more).replace('backend', 'backend, engine: flagger')
  expect(fleetOf(configOf(config))[0]!.config.canary!.engine.type).toBe('flagger')
})

test('without the section there is no fleet', () => {
  expect(fleetOf(configOf('canary: { service: backend }'))).toEqual([])
})

describe('is rejected:', () => {
  test.each([
    ['an empty section', text('{}'), 'clusters: has no cluster'],
    [
      'an API of Tyk, which leads to one cluster',
      text(
        '{ eu: { context: a }, us: { context: b } }',
        "edge: { tyk: { url: 'http://tyk:8080', api: 'http://tyk:8080', secret: x } }\n",
      ),
      'edge.tyk: leads Tyk to the gateway of one cluster',
    ],
    ['two names for one cluster', text('{ eu: { context: a }, us: { context: a } }'), 'the context of `clusters.eu`'],
    ['a context for all', text('{ eu: { context: a } }', 'context: a\n'), 'give each of them its own `context`'],
    ['a kind cluster besides', text('{ eu: { context: a } }', 'cluster: kind\n'), 'is about one cluster'],
    ['a wave of none', text('{ eu: { wave: 0 } }'), 'a whole number from 1 to 100'],
    ['an unknown key', text('{ eu: { contxt: a } }'), 'contxt'],
    [
      'an engine that cannot roll back what it has promoted',
      text('{ eu: { context: a }, us: { context: b } }').replace('backend', 'backend, engine: argo-rollouts'),
      'canary.engine: Argo Rollouts cannot return to stable in one cluster what it has promoted, when another cluster fails',
    ],
    ['a name with blanks', text('{ "e u": {} }'), 'clusters'],
  ])('%s', (_, config, message) => {
    expect(refusal(config)).toContain(message)
  })
})
