import { expect, test } from 'vitest'
import type { KubeObject } from '../../../../src/cluster/objects.ts'
import { removedSplits } from '../../../../src/policies/weights/removed-splits.ts'
import type { ChangeAction, PlannedChange } from '../../../../src/policies/plan.ts'
import { policy, route, rule } from '../recording-cluster.ts'

const planned = (action: ChangeAction, object: KubeObject): PlannedChange => ({ action, object, diff: [] })
const promoted = route(['v1', 0], ['v2', 100])
const renamed = { ...promoted, metadata: { name: 'other', namespace: 'shop' } }
const warning =
  'policies: the config no longer asks for the VirtualService shop/backend, so the run deletes it, and with it the split of backend.shop.svc.cluster.local (v1 0, v2 100): then every pod of the service gets requests'

test.each<[string, PlannedChange[], string[]]>([
  ['reports a deleted split with its weights', [planned('delete', promoted)], [warning]],
  [
    'reports a deleted split whose subsets remain',
    [planned('delete', promoted), planned('unchanged', rule('v1', 'v2'))],
    [warning],
  ],
  ['does not report a split that remains', [planned('change', promoted), planned('unchanged', route(['v1', 100]))], []],
  [
    'does not report a split that another object takes over',
    [planned('create', renamed), planned('delete', promoted)],
    [],
  ],
  [
    'does not report a split at a gateway, because its host is deleted too',
    [planned('delete', { ...promoted, spec: { ...promoted.spec, gateways: ['g'] } } as KubeObject)],
    [],
  ],
  [
    'does not report a deleted route without subsets',
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
])('the check for removed splits %s', (_, all, sentences) => {
  const found = removedSplits(all)
  expect(found).toHaveLength(sentences.length)
  sentences.forEach((sentence, i) => expect(found[i]).toContain(sentence))
})
