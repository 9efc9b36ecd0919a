// Which services nobody may promote while an experiment runs.
import { describe, expect, test } from 'vitest'
import { affectedServices } from '../../../src/experiments/faults/affected-services.ts'
import { clusterWith, configOf, pod, virtualService, workload } from '../fixtures.ts'
import { FakeObjects } from './fake-objects.ts'

const service = (name: string, selector?: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { selector },
})
const cluster = clusterWith({
  get: () => Promise.resolve(workload('Deployment', 'backend')),
  list: (kind: string) =>
    Promise.resolve(
      kind === 'Pod'
        ? ['backend', 'db'].map((app) => pod({ metadata: { name: app, uid: app, labels: { app } } }))
        : [
            service('front', { app: 'front' }),
            service('backend', { app: 'backend' }),
            service('none', {}),
            service('db', { app: 'db' }),
            service('external'),
          ],
    ),
})
const select = (app: string) => `{ labelSelectors: { app: ${app} } }`

test.each([
  ['an abort', '{ abort: { status: 503, service: backend } }', 'backend', ['front']],
  ['a killed pod', '{ podKill: { workload: deploy/backend } }', 'front', ['backend']],
  [
    'a cut network',
    `{ chaosMesh: { kind: NetworkChaos, spec: { action: partition, mode: one, selector: ${select('backend')},
       target: { mode: all, selector: ${select('db')} } } } }`,
    'front',
    ['backend', 'db'],
  ],
])('%s concerns the watched service and all that select its pods', async (_, inject, target, others) => {
  const { trial } = configOf(`experiments: { trial: { service: front, inject: ${inject} } }`).experiments!
  expect(await affectedServices(cluster, 'shop', trial!)).toEqual({ target, others })
})

describe('a fault at the Service of one version also concerns the service that is promoted,', () => {
  const { trial } = configOf(
    'experiments: { trial: { service: front, inject: { abort: { status: 503, service: backend-v1 } } } }',
  ).experiments!
  const versions = [{ destination: { host: 'backend-v1' } }, { destination: { host: 'backend-v2' }, weight: 0 }]

  test('whose routes get the fault, and every other one to which these may send requests', async () => {
    const cluster = new FakeObjects(virtualService([{ route: versions }]))
    expect((await affectedServices(cluster.api, 'shop', trial!)).others).toEqual(['front', 'backend', 'backend-v2'])
  })

  test('which selects its pods', async () => {
    const v1 = service('backend-v1', { app: 'backend', version: 'v1' })
    const cluster = new FakeObjects(v1, service('backend', { app: 'backend' }), service('db', { app: 'db' }))
    expect((await affectedServices(cluster.api, 'shop', trial!)).others).toEqual(['front', 'backend'])
  })
})
