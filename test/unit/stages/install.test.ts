// What the stage install says to an account that may not look at the control plane; the rest is shown on a real cluster.
import { expect, test } from 'vitest'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { install } from '../../../src/stages/install.ts'
import { clusterWith } from '../fixtures.ts'

test('an account without the right to look at the control plane is told what to do', async () => {
  const list = () => Promise.reject(new ApiError(403, 'cannot list resource "deployments" in istio-system'))
  const context = { cluster: clusterWith({ list }), config: {}, host: {} } as unknown as StageContext
  await expect(install(context)).rejects.toThrow(
    'stages: this account cannot see whether the control plane is installed: cannot list resource "deployments" in ' +
      'istio-system; run the stage install with an account that may (deploy/rbac/install.yaml), and name the other stages',
  )
})
