import { expect, test } from 'vitest'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import { removedSplits } from '../../../src/policies/removed-splits.ts'
import type { Action, Planned } from '../../../src/policies/plan.ts'
import { policy, route, rule } from './keeper.ts'

const planned = (action: Action, object: KubeObject): Planned => ({ action, object, diff: [] })
const promoted = route(['v1', 0], ['v2', 100])
const renamed = { ...promoted, metadata: { name: 'other', namespace: 'shop' } }
const told =
  'policies: the config no longer asks for the VirtualService shop/backend, so the run deletes it, and with it the split of backend.shop.svc.cluster.local (v1 0, v2 100): then every pod of the service gets requests'

test.each<[string, Planned[], string[]]>([
  ['that goes is told with its weights', [planned('delete', promoted)], [told]],
  [
    'that goes while only the subsets stay is told too',
    [planned('delete', promoted), planned('unchanged', rule('v1', 'v2'))],
    [told],
  ],
  ['that stays is not', [planned('change', promoted), planned('unchanged', route(['v1', 100]))], []],
  ['that another object takes over is not', [planned('create', renamed), planned('delete', promoted)], []],
  [
    'of a gateway, whose host goes with it, is not',
    [planned('delete', { ...promoted, spec: { ...promoted.spec, gateways: ['g'] } } as KubeObject)],
    [],
  ],
  [
    'without subsets is none',
    [
      planned(
        'delete',
        policy('VirtualService', 'backend', {
          hosts: ['backend'],
          http: [{ timeout: '1s', route: [{ destination: { host: 'backend' } }] }],
        }),
      ),
    ],
    [],
  ],
])('a split %s', (_, all, sentences) => {
  const found = removedSplits(all)
  expect(found).toHaveLength(sentences.length)
  sentences.forEach((sentence, i) => expect(found[i]).toContain(sentence))
})
