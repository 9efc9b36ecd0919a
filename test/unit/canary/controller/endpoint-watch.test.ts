import { describe, expect, test } from 'vitest'
import { EndpointWatch } from '../../../../src/canary/controller/endpoint-watch.ts'
import type { Pod } from '../../../../src/cluster/objects.ts'
import { FakeClock } from '../../fake-clock.ts'
import { clusterWith, configOf, pod, split } from '../../fixtures.ts'

const config = configOf('{ namespace: shop, canary: { service: backend } }')
const labels = { app: 'backend', version: 'v2' }
const ready = pod({ metadata: { labels } })
const pending = pod({ metadata: { labels }, status: { phase: 'Pending', conditions: [] } })
const leaving = pod({ metadata: { labels, deletionTimestamp: '2026-11-24T20:00:00Z' } })

/** Whether the canary is down in each sample. */
async function isDownIn(...samples: Pod[][]): Promise<boolean[]> {
  let pods: Pod[] = []
  const watch = new EndpointWatch({
    cluster: clusterWith({}),
    config,
    plan: config.canary!,
    split,
    selectors: { stable: { app: 'backend', version: 'v1' }, canary: labels },
    pods: () => pods,
    clock: new FakeClock(),
  })
  const found: boolean[] = []
  for (const sample of samples) {
    pods = sample
    await watch.refresh()
    found.push(watch.isDown('canary'))
  }
  return found
}

describe('a canary', () => {
  test('may be evicted, if its replacement is ready in the second sample after that', async () => {
    expect(await isDownIn([ready], [leaving, pending], [ready], [pending], [ready])).not.toContain(true)
  })

  test.each([
    ['is gone', []],
    ['is not ready', [pending]],
    ['is being deleted', [leaving]],
  ])('is down when it has in two samples in a row no pod except one that %s', async (_, pods) => {
    expect(await isDownIn([ready], pods, pods)).toEqual([false, false, true])
  })
})
