// Faults by others while a run promotes: a second pipeline, a deleted Lease or guard, and a pod that answers slowly.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Inputs } from '../../test/e2e/runner.ts'
import { drippingPod } from '../../test/e2e/world.ts'
import { kubectl } from '../mesh/index.ts'
import { limitSeconds, waitUntil, type Fault } from './faults.ts'

export const leaseDeleted: Fault = {
  name: 'Lease deleted',
  limitSeconds,
  post: true,
  arm: (testCluster) => async () =>
    void (await kubectl(testCluster, 'delete', 'lease', 'mesh-canary-backend', '--ignore-not-found')),
}

const guards = ['-l', 'mesh-canary.io/guard']

export const guardKilled: Fault = {
  name: "guard's pod killed",
  post: true,
  arm: (testCluster) => async () =>
    void (await kubectl(testCluster, 'delete', 'pod', ...guards, '--force', '--grace-period=0')),
}

export const guardDeleted: Fault = {
  name: "guard's Job deleted",
  post: true,
  arm: (testCluster) => async () => void (await kubectl(testCluster, 'delete', 'job', ...guards)),
}

/** The run notices within 10 s that its guard is gone, and creates it again. */
export const sigkillAfterGuardDeleted: Fault = {
  name: "guard's Job deleted, and SIGKILL when there is one again",
  limitSeconds,
  post: false,
  arm:
    (testCluster) =>
    async ({ kill }) => {
      const readyGuards = () => kubectl(testCluster, 'get', 'job', ...guards, '-o', 'jsonpath={.items[*].status.ready}')
      await kubectl(testCluster, 'delete', 'job', ...guards)
      await waitUntil('there is no guard again', async () => (await readyGuards()) === '1')
      // It says in the Lease that it watches.
      await sleep(2_000)
      kill('SIGKILL')
      return Date.now()
    },
}

export const secondPromotion: Fault = secondPipeline('promotes the same service', () => ({}))
export const secondRollback: Fault = {
  ...secondPipeline('rolls back', () => ({ stages: 'rollback' })),
  limitSeconds,
}

let policyRuns = 0
/** Another timeout in each run, so that it has a route to write. */
export const secondPolicies: Fault = secondPipeline('applies policies', () => ({
  stages: 'policies',
  services: `{ backend: { port: 3001, timeout: ${10 + policyRuns++}s, retries: { attempts: 0 }, subsets: { v1: { version: v1 }, v2: { version: v2 } } } }`,
}))

function secondPipeline(does: string, inputs: () => Inputs): Fault {
  return {
    name: `a second pipeline ${does}`,
    post: true,
    arm:
      () =>
      async ({ act }) =>
        void (await act(inputs())),
  }
}

/** It is there before the run begins. */
export const dripping: Fault = {
  name: 'a pod that answers a byte per second',
  limitSeconds,
  post: true,
  arm: async (testCluster) => {
    const remove = await drippingPod(testCluster)
    return async ({ ended }) => {
      await ended
      await remove()
    }
  },
}
