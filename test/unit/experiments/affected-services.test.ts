// Which services nobody may promote while an experiment runs.
import { expect, test } from 'vitest'
import { affectedServices } from '../../../src/experiments/faults/affected-services.ts'
import { clusterWith, configOf, pod, workload } from '../fixtures.ts'

const service = (name: string, selector?: object) => ({ kind: 'Service', metadata: { name }, spec: { selector } })
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
  ['an abort', '{ abort: { status: 503, service: backend } }', ['backend', 'front']],
  ['a killed pod', '{ podKill: { workload: deploy/backend } }', ['front', 'backend']],
  [
    'a cut network',
    `{ chaosMesh: { kind: NetworkChaos, spec: { action: partition, mode: one, selector: ${select('backend')},
       target: { mode: all, selector: ${select('db')} } } } }`,
    ['front', 'backend', 'db'],
  ],
])('%s concerns the watched service and all that select its pods', async (_, inject, services) => {
  const { trial } = configOf(`experiments: { trial: { service: front, inject: ${inject} } }`).experiments!
  expect(await affectedServices(cluster, 'shop', trial!)).toEqual(services)
})
