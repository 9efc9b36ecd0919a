import { describe, expect, test } from 'vitest'
import { decide, observe, type ObservedLease } from '../../../../src/canary/ownership/lease-decision.ts'
import { guardIdentity, handOverIdentity } from '../../../../src/canary/ownership/lease-object.ts'
import { leaseHeldBy } from './fake-leases.ts'

const holder = 'run 6 (deadbeef)'
const renewTime = '2026-11-29T10:00:00.000000Z'
const lease = leaseHeldBy(holder, { spec: { leaseDurationSeconds: 30, renewTime } })
const renewal = `${holder} ${renewTime}`
const alive: ObservedLease = { renewal, since: 100_000, renewed: true }
const unknown: ObservedLease = { ...alive, renewed: false }
const noWait = { startedAt: 100_000, waitMs: 0 }

describe('observing a Lease', () => {
  test('starts with the renewal that is read first', () => {
    expect(observe(undefined, lease, 5)).toEqual({ renewal, since: 5, renewed: false })
    expect(observe(undefined, undefined, 5)).toEqual({ renewal: undefined, since: 5, renewed: false })
  })

  test('keeps the time since when nobody has renewed it, also if somebody else has written to it', () => {
    const before = { renewal, since: 5, renewed: false }
    const byGuard = { ...lease, metadata: { ...lease.metadata, resourceVersion: '2' } }
    expect(observe(before, lease, 9)).toEqual(before)
    expect(observe(before, byGuard, 9)).toEqual(before)
  })

  test('treats a renewal or another holder as a sign of life, and also a Lease that appears or disappears', () => {
    const before: ObservedLease = { renewal, since: 5, renewed: false }
    const later = { ...lease, spec: { ...lease.spec, renewTime: '2026-11-29T10:00:01.000000Z' } }
    const taken = { ...lease, spec: { ...lease.spec, holderIdentity: 'run 7 (deadbeef)' } }
    for (const each of [later, taken, undefined])
      expect(observe(before, each, 9)).toMatchObject({ since: 9, renewed: true })
    expect(observe({ ...before, renewal: undefined }, lease, 9)).toEqual({ renewal, since: 9, renewed: true })
  })
})

describe('the decision about a Lease', () => {
  test('is to acquire it when it does not exist or has no holder, whatever its age', () => {
    expect(decide(undefined, unknown, 100_000, noWait)).toEqual({ kind: 'acquire' })
    expect(decide(leaseHeldBy(''), unknown, 999_000, noWait)).toEqual({ kind: 'acquire' })
  })

  test('is to acquire what its holder has handed over, although its time is not over', () => {
    expect(decide(leaseHeldBy(handOverIdentity(holder)), unknown, 100_000, noWait)).toEqual({ kind: 'acquire' })
  })

  test('is to steal it once its holder has not renewed it for its duration, and not before', () => {
    expect(decide(lease, unknown, 129_999, noWait)).toEqual({ kind: 'wait', holder })
    expect(decide(lease, unknown, 130_000, noWait)).toEqual({ kind: 'steal', holder })
    expect(decide(lease, alive, 130_000, noWait)).toEqual({ kind: 'steal', holder })
  })

  test('assumes 30 s for a Lease without a duration', () => {
    const { leaseDurationSeconds: _, ...spec } = lease.spec!
    expect(decide({ ...lease, spec }, unknown, 129_999, noWait).kind).toBe('wait')
    expect(decide({ ...lease, spec }, unknown, 130_000, noWait).kind).toBe('steal')
  })

  test('is to wait until the holder renews or its time is over, even without leaseWaitTimeout', () => {
    expect(decide(lease, unknown, 110_000, noWait)).toEqual({ kind: 'wait', holder })
  })

  test('is to refuse as soon as the holder is alive, without leaseWaitTimeout', () => {
    expect(decide(lease, alive, 101_000, noWait)).toEqual({ kind: 'refuse', holder })
  })

  test('is to wait for a holder that is alive up to leaseWaitTimeout, and then to refuse', () => {
    const wait = { startedAt: 90_000, waitMs: 20_000 }
    expect(decide(lease, alive, 109_999, wait)).toEqual({ kind: 'wait', holder })
    expect(decide(lease, alive, 110_000, wait)).toEqual({ kind: 'refuse', holder })
  })

  test('is to wait 60 s for a guard that is alive, or leaseWaitTimeout when that is longer', () => {
    const guarded = leaseHeldBy(guardIdentity(holder), { spec: { leaseDurationSeconds: 600 } })
    expect(decide(guarded, alive, 159_999, noWait).kind).toBe('wait')
    expect(decide(guarded, alive, 160_000, noWait)).toEqual({ kind: 'refuse', holder: guardIdentity(holder) })
    expect(decide(guarded, alive, 160_000, { ...noWait, waitMs: 90_000 }).kind).toBe('wait')
  })
})
