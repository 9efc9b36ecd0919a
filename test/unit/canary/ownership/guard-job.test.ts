// Why a guard does not start. A fake, because the tests choose what the API server says; test/e2e/guard-quota.test.ts
// runs into a real quota.
import { describe, expect, test } from 'vitest'
import { applyGuard, explainMissingGuard, refusalOfGuard } from '../../../../src/canary/ownership/guard-job.ts'
import { ApiError } from '../../../../src/cluster/api-error.ts'
import type { Split } from '../../../../src/policies/routes.ts'
import { clusterWith, planOf } from '../../fixtures.ts'
import { leaseHeldBy } from './fake-leases.ts'

const event = (message: string, lastTimestamp = '2026-01-01T00:00:00Z', reason = 'FailedCreate') => ({
  involvedObject: { kind: 'Job', name: 'guard' },
  reason,
  message,
  lastTimestamp,
})
const clusterOf = (...events: object[]) =>
  clusterWith({
    list: (kind: string) => Promise.resolve(kind === 'Event' ? events : []),
    get: () => Promise.resolve({ kind: 'Job' }),
  })

const quota =
  'Error creating: pods "guard-x" is forbidden: exceeded quota: team, requested: limits.memory=160Mi, used: limits.memory=1Gi, limited: limits.memory=1Gi'
const limitRange =
  'Error creating: pods "guard-x" is forbidden: minimum memory usage per Container is 128Mi, but request is 64Mi'
const podSecurity =
  'Error creating: pods "guard-x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile'
const webhook = 'Error creating: admission webhook "policy.test" denied the request: the registry is not allowed'

describe('a pod of the guard that the API server refuses', () => {
  test.each([
    [quota, 'free room in the quota, raise it, or lower `guard.resources`'],
    [limitRange, 'set `guard.resources` to what the LimitRange allows'],
    [podSecurity, 'change that rule of the namespace for the guard'],
    [webhook, 'change that rule of the namespace for the guard'],
  ])('is reported in the words of the server, with a remedy: %s', async (message, remedy) => {
    expect(await refusalOfGuard(clusterOf(event(message)), 'shop', 'guard')).toBe(message)
    expect(await explainMissingGuard(clusterOf(event(message)), 'shop', 'guard')).toContain(`${message}; ${remedy}`)
  })

  test.each([
    [
      'its account is not known everywhere yet',
      'Error creating: pods "guard-x" is forbidden: error looking up service account shop/guard: serviceaccount "guard" not found',
    ],
    [
      'its quota is not counted yet',
      'Error creating: pods "guard-x" is forbidden: status unknown for quota: team, resources: pods',
    ],
    [
      'a webhook does not answer',
      'Error creating: Internal error occurred: failed calling webhook "policy.test": connection refused',
    ],
  ])('is awaited if %s', async (_, message) => {
    expect(await refusalOfGuard(clusterOf(event(message)), 'shop', 'guard')).toBeUndefined()
  })

  test('is judged by the last event, in whatever order the server returns them', async () => {
    const later = event(quota, '2026-01-01T00:00:09Z')
    const earlier = event('Error creating: Internal error occurred: etcd', '2026-01-01T00:00:01Z')
    expect(await refusalOfGuard(clusterOf(later, earlier), 'shop', 'guard')).toBe(quota)
  })

  test('is unknown without the right to read events', async () => {
    const cluster = clusterWith({ list: () => Promise.reject(new ApiError(403, 'forbidden')) })
    expect(await refusalOfGuard(cluster, 'shop', 'guard')).toBeUndefined()
  })
})

describe('an object of the guard that the API server refuses', () => {
  const split = { namespace: 'shop', service: 'backend' } as Split
  const claim = { identity: 'run 6 (deadbeef)', lease: leaseHeldBy('run 6 (deadbeef)') }
  const selectors = { stable: { version: 'v1' }, canary: { version: 'v2' } }
  const create = (message: string) =>
    applyGuard(
      clusterWith({ apply: () => Promise.reject(new ApiError(403, message)) }),
      { split, plan: planOf(), claim, saved: [], selectors, program: 'program' },
      false,
    )

  test('for a missing right names the Role that grants it', async () => {
    const message = 'jobs.batch is forbidden: User "ci" cannot create resource "jobs" in API group "batch" (HTTP 403)'
    await expect(create(message)).rejects.toThrow(`${message}; give the run the rights of deploy/rbac/deliver.yaml`)
  })

  test('for a quota does not blame the rights, although the status is the same', async () => {
    const message =
      'serviceaccounts "guard" is forbidden: exceeded quota: team, requested: count/serviceaccounts=1 (HTTP 403)'
    await expect(create(message)).rejects.toThrow(`${message}; fix this, or set \`guard: off\``)
  })
})
