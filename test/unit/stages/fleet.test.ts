// What the run in one cluster of a fleet does before its stages, and when the fleet fails before its promotions.
import { describe, expect, test, vi } from 'vitest'
import type { OtherClusters } from '../../../src/canary/other-clusters.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import { emptyReport, type PromotionReport } from '../../../src/report/report.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { awaitTurn, holdBeforeTurn, stopInFleet } from '../../../src/stages/fleet.ts'
import { FakeCluster } from '../canary/fake-cluster.ts'
import { clusterWith, configOf } from '../fixtures.ts'

// The watch has its own tests. Here it shows the objects of the fake cluster.
vi.mock('../../../src/cluster/watch.ts', () => ({
  watch: (cluster: { live: (kind: string) => ObjectWatch<KubeObject> }, kind: string) =>
    Promise.resolve(cluster.live(kind)),
}))

const elsewhere = { cluster: 'eu', reason: 'the canary of backend was not promoted' }
const problem = new Error('the canary of backend was not promoted in the cluster eu, so nothing was promoted in us')

function others(failure?: ReturnType<OtherClusters['failure']>) {
  const report = vi.fn<OtherClusters['report']>(() => Promise.resolve())
  return {
    failure: () => failure,
    report,
    isLastLook: () => false,
    confirm: () => undefined,
    isFinal: () => false,
    turn: () => Promise.reject(problem),
  }
}

function contextOf(cluster: FakeCluster, its: ReturnType<typeof others>, more = ''): StageContext {
  const canary = 'service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off'
  return {
    config: configOf(`{ namespace: shop, ${more} canary: { ${canary} } }`),
    stages: ['policies', 'promote'],
    cluster: cluster.api,
    others: its,
    host: { signal: cluster.controller.signal, info: () => undefined },
    recorder: createRecorder(emptyReport('shop', new Date(), false)),
  } as unknown as StageContext
}

/** The stage, as far as these tests need it. */
function promoting(cluster: FakeCluster): (context: StageContext) => Promise<void> {
  return async ({ config, others, fleetFailure, recorder }) => {
    const ended = await cluster.promote(config, {
      ...(others ? { others } : {}),
      ...(fleetFailure ? { fleetFailure } : {}),
    })
    recorder.record({ error: `the canary of backend was not promoted (${ended.verdict}): ${ended.reason}` })
  }
}

const never = () => Promise.reject(new Error('the test did not expect the stage promote'))

describe('a fleet that fails before the promotions of a cluster', () => {
  test('returns what an earlier run has left there to stable', async () => {
    const us = new FakeCluster(50)
    const stop = stopInFleet(contextOf(us, others(elsewhere)), problem, false, promoting(us))
    await expect(stop).rejects.toThrow(
      'the canary of backend was not promoted (rolled-back): rolled back because the canary of backend was not promoted ' +
        `in the cluster eu\n${problem.message}`,
    )
    expect(us.weight).toBe(0)
  })

  test('because of this cluster tells the others at once, and does the same', async () => {
    const us = new FakeCluster(50)
    const its = others()
    const own = new Error('policies: two VirtualServices claim backend\nand more')
    await expect(stopInFleet(contextOf(us, its), own, true, promoting(us))).rejects.toThrow(
      'rolled back because the run failed (policies: two VirtualServices claim backend)',
    )
    expect(its.report).toHaveBeenCalledWith({
      failure: 'the run failed (policies: two VirtualServices claim backend)',
      rollsBackOthers: true,
    })
    expect(us.weight).toBe(0)
  })

  test('also if the stage promote has failed before its promotions', async () => {
    const us = new FakeCluster(50)
    const context = contextOf(us, others())
    context.recorder.record({ stages: [{ name: 'promote', outcome: 'failed', seconds: 1 }] })
    const own = new Error('Deployment/backend-canary: the pods are not ready')
    await expect(stopInFleet(context, own, true, promoting(us))).rejects.toThrow('rolled back because the run failed')
    expect(us.weight).toBe(0)
  })

  test('keeps the error that has stopped it when the promotions cannot even begin', async () => {
    const us = new FakeCluster(50)
    const promote = () => Promise.reject(new Error('the pods of shop cannot be listed: forbidden'))
    await expect(stopInFleet(contextOf(us, others(elsewhere)), problem, false, promote)).rejects.toThrow(
      'the pods of shop cannot be listed: forbidden\nv2 of backend keeps its weight 50; run the stage ' +
        `rollback to return it to stable\n${problem.message}`,
    )
  })

  test.each([
    ['with `together: false`', 'together: false,', elsewhere],
    ['where another cluster holds its canary', '', undefined],
  ])('%s names the canary that keeps its traffic', async (_, more, failure) => {
    const us = new FakeCluster(50)
    await expect(stopInFleet(contextOf(us, others(failure), more), problem, false, never)).rejects.toThrow(
      `${problem.message}; v2 of backend keeps its weight 50; run the stage rollback`,
    )
    expect(us.weights).toEqual([])
  })

  test('touches nothing where no canary has traffic, in a dry run, when cancelled, and after promotions', async () => {
    const idle = new FakeCluster(0)
    await expect(stopInFleet(contextOf(idle, others(elsewhere)), problem, false, never)).rejects.toBe(problem)
    const us = new FakeCluster(50)
    const dry = contextOf(us, others(elsewhere), 'dryRun: true,')
    await expect(stopInFleet(dry, problem, false, never)).rejects.toBe(problem)
    const ended = contextOf(us, others(elsewhere))
    ended.recorder.record({ promotions: [{ service: 'backend' } as PromotionReport] })
    await expect(stopInFleet(ended, problem, true, never)).rejects.toBe(problem)
    us.controller.abort()
    await expect(stopInFleet(contextOf(us, others(elsewhere)), problem, false, never)).rejects.toBe(problem)
    expect(us.weights).toEqual([])
  })
})

test('a cluster whose wave does not begin in the time of the run is held, at the weight that an earlier run left', async () => {
  const context = contextOf(new FakeCluster(50), others())
  await holdBeforeTurn(context)
  expect(context.recorder.current()).toMatchObject({ verdict: 'held', weight: 50 })
  expect(context.recorder.current().reason).toMatch(/the next run continues; v2 of backend keeps its weight 50/)
})

test('a run names its cluster by the address and by the uid of its namespace, as far as it may read that', async () => {
  const answer = { hasWaited: true, isOutOfTime: false }
  const turn = vi.fn(() => Promise.resolve(answer))
  const context = (get: () => Promise<object>) =>
    ({
      cluster: clusterWith({ get }),
      config: configOf('namespace: shop'),
      connection: { server: 'https://eu.example' },
      others: { ...others(), turn },
    }) as unknown as StageContext
  await expect(awaitTurn(context(() => Promise.resolve({ metadata: { uid: 'a1' } })))).resolves.toBe(answer)
  await awaitTurn(context(() => Promise.reject(new Error('forbidden'))))
  expect(turn.mock.calls).toEqual([
    [{ server: 'https://eu.example', uid: 'a1' }],
    [{ server: 'https://eu.example', uid: undefined }],
  ])
})
