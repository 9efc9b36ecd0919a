// The guard's whole life: it watches the Lease of one run, and when that is not renewed any more it puts all traffic back.
// It goes on until that is done, however long the API server or istiod are away; and it ends when the run has ended.
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicNow } from '../runtime/clock.ts'
import { guardIdentity, leasePaths, runOfHolder } from '../canary/ownership/lease.ts'
import { resetToStable } from '../canary/traffic/router.ts'
import { ApiError, isConflict, type Cluster, type PatchOperation } from '../cluster/client.ts'
import type { KubeObject, Lease } from '../cluster/objects.ts'
import { messageOf } from '../runtime/errors.ts'
import type { GuardSpec } from '../canary/ownership/guard-spec.ts'

export type GuardOutcome = 'the run has ended' | 'another run has taken over' | 'put back'

const pollMs = 1_000

export async function watchLease(
  cluster: Cluster,
  orders: GuardSpec,
  say: (line: string) => void,
): Promise<GuardOutcome> {
  const { identity, afterMs, lease: name, service } = orders
  let onDuty = false
  let heard: { at: number; renewTime: string | undefined } | undefined
  let unread: number | undefined
  for (; ; await sleep(pollMs)) {
    const asked = monotonicNow()
    const lease = await read(cluster, orders).catch((problem: unknown) => ({ problem }))
    if (lease && 'problem' in lease) {
      if (unread === undefined) say(`the Lease ${name} cannot be read: ${messageOf(lease.problem)}`)
      unread ??= asked
      continue
    }
    // While nobody can reach the API server the run cannot either: that time, and that of an answer that hung, does not count against it.
    const without = monotonicNow() - (unread ?? asked)
    if (heard && (unread !== undefined || without >= pollMs)) heard = { ...heard, at: heard.at + without }
    unread = undefined
    if (!lease || lease.spec?.holderIdentity === '') return 'the run has ended'
    const holder = lease.spec?.holderIdentity
    if (holder !== identity && holder !== guardIdentity(identity)) return 'another run has taken over'
    const { renewTime } = lease.spec!
    if (!heard || heard.renewTime !== renewTime) heard = { at: monotonicNow(), renewTime }
    if (!onDuty)
      onDuty = await mark(cluster, orders, lease, say, [{ op: 'add', path: leasePaths.guard, value: identity }])
    const isDue = holder === guardIdentity(identity) || monotonicNow() - heard.at >= afterMs
    if (!isDue) continue
    say(`${identity} has not been heard of for ${afterMs / 1000} s: all traffic of ${service} goes back`)
    // First the run loses its Lease, so that one that comes back to life cannot write over what is put back.
    const fenced =
      holder === guardIdentity(identity) ||
      (await mark(cluster, orders, lease, say, [
        { op: 'replace', path: '/spec/holderIdentity', value: guardIdentity(identity) },
      ]))
    if (fenced && (await putBack(cluster, orders, say))) return 'put back'
  }
}

function read(cluster: Cluster, { namespace, lease }: GuardSpec): Promise<Lease | undefined> {
  return cluster.get<Lease>('Lease', namespace, lease)
}

/** Answers whether it was written; somebody may have been quicker, and anything else is told. */
async function mark(
  cluster: Cluster,
  { namespace, lease: name }: GuardSpec,
  lease: Lease,
  say: (line: string) => void,
  operations: PatchOperation[],
): Promise<boolean> {
  const asRead: PatchOperation = {
    op: 'test',
    path: '/metadata/resourceVersion',
    value: lease.metadata.resourceVersion,
  }
  return cluster.patch('Lease', namespace, name, [asRead, ...operations]).then(
    () => true,
    (problem: unknown) => {
      if (!isConflict(problem)) say(`the Lease ${name} cannot be written: ${messageOf(problem)}`)
      return false
    },
  )
}

/** Answers whether all of it is done; what could not be written is tried again with the next look. */
async function putBack(cluster: Cluster, orders: GuardSpec, say: (line: string) => void): Promise<boolean> {
  const { namespace, service, lease: name, identity, afterMs, split, saved } = orders
  try {
    const written = await resetToStable(cluster, split, saved, true)
    const what = `the run ${runOfHolder(identity)} was not heard of for ${afterMs / 1000} s, and the guard put all traffic of ${service} back to ${split.stable.name}`
    say(`${what} (${written.length} object${written.length === 1 ? '' : 's'} written)`)
    await cluster
      .create(event(orders, what))
      .catch((problem: unknown) => say(`the event cannot be recorded: ${messageOf(problem)}`))
    await cluster
      .patch('Lease', namespace, name, [
        { op: 'test', path: '/spec/holderIdentity', value: guardIdentity(identity) },
        { op: 'add', path: leasePaths.ended, value: what },
        { op: 'replace', path: '/spec/holderIdentity', value: '' },
      ])
      .catch((problem: unknown) => {
        // Somebody has ended it meanwhile. One who took it over is seen with the next look.
        if (!(problem instanceof ApiError) || problem.status !== 404) throw problem
      })
    return true
  } catch (problem) {
    say(`not done yet: ${messageOf(problem)}`)
    return false
  }
}

function event({ namespace, service, lease }: GuardSpec, message: string): KubeObject {
  const time = new Date().toISOString()
  const base = { apiVersion: 'v1', kind: 'Event', metadata: { name: `${lease}.${Date.now().toString(16)}`, namespace } }
  const about = {
    involvedObject: { apiVersion: 'v1', kind: 'Service', namespace, name: service },
    reason: 'CanaryPutBack',
    message,
    type: 'Warning',
    source: { component: 'mesh-canary-guard' },
  }
  return Object.assign(base, about, { firstTimestamp: time, lastTimestamp: time, count: 1 })
}
