// The guard of an experiment. It removes the fault when nobody renews the Lease, and also when the Lease is gone or
// somebody else's: whoever has it does not know the fault.
import { guardIdentity, holderOf } from '../canary/ownership/lease-object.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import { describeUnfinished, findUnfinished, restoreObjects } from '../experiments/faults/restore.ts'
import type { ExperimentGuardSpec } from '../experiments/guard-spec.ts'
import { deleteOwnLeases } from '../experiments/own-leases.ts'
import { messageOf } from '../runtime/errors.ts'
import { guardEvent, latestSpec } from './guard-objects.ts'
import { watchHolder, type GuardDeps } from './lease-watch.ts'

export type ExperimentGuardOutcome = 'the run has ended' | 'another run has taken over' | 'removed the fault'

export async function watchExperiment(
  cluster: Cluster,
  spec: ExperimentGuardSpec,
  deps: GuardDeps,
): Promise<ExperimentGuardOutcome> {
  const outcome = await watchHolder<ExperimentGuardOutcome>(cluster, spec, deps, {
    outcomeOf: (lease) => outcomeOf(lease, spec),
    intent: `removing the fault of the experiment ${spec.experiment}`,
    recover: (why) => restoreForSilentRun(cluster, spec, why, deps.log),
    recovered: 'removed the fault',
  })
  if (outcome === 'removed the fault') return outcome
  let problem: string | undefined
  for (; ; await deps.clock.sleep(pollMs)) {
    const next = await restoreRest(cluster, spec, deps.log).catch(messageOf)
    if (next === undefined) return outcome
    if (next !== problem) deps.log(`the fault is not removed yet: ${next}`)
    problem = next
  }
}

const pollMs = 1_000

/** Of a fault whose Lease is gone or somebody else's. Nothing is left of it if the run removed it itself. */
async function restoreRest(
  cluster: Cluster,
  spec: ExperimentGuardSpec,
  log: (line: string) => void,
): Promise<undefined> {
  const { namespace, otherLeases, identity } = spec
  const { objects } = await latestSpec(cluster, spec)
  const removed = await restoreObjects(cluster, objects, { invalidatesPreparedWrites: false, identity })
  removed.forEach((key) => log(`removed the fault from ${key}`))
  const unfinished = await findUnfinished(cluster, objects, identity)
  if (unfinished.length > 0) throw new Error(describeUnfinished(unfinished))
  await deleteOwnLeases(cluster, namespace, otherLeases, identity)
}

function outcomeOf(lease: Lease | undefined, { identity }: ExperimentGuardSpec): ExperimentGuardOutcome | undefined {
  const holder = holderOf(lease)
  if (lease === undefined || holder === '') return 'the run has ended'
  return holder === identity || holder === guardIdentity(identity) ? undefined : 'another run has taken over'
}

/** Returns whether everything is restored. The next poll retries the rest. */
async function restoreForSilentRun(
  cluster: Cluster,
  spec: ExperimentGuardSpec,
  why: string,
  log: (line: string) => void,
): Promise<boolean> {
  const { namespace, lease, otherLeases, identity, experiment } = spec
  try {
    const { objects } = await latestSpec(cluster, spec)
    const restored = await restoreObjects(cluster, objects, { identity })
    const unfinished = await findUnfinished(cluster, objects, identity)
    if (unfinished.length > 0) throw new Error(describeUnfinished(unfinished))
    const what =
      `${why}, and the guard removed the fault of the ` +
      `experiment ${experiment} (${restored.length === 0 ? 'nothing was left of it' : restored.join(', ')})`
    log(what)
    await cluster
      .create(guardEvent(spec, 'ExperimentRecovered', what))
      .catch((problem: unknown) => log(`the event cannot be recorded: ${messageOf(problem)}`))
    // With the Lease, Kubernetes deletes the guard, and whatever a frozen run may still create.
    await deleteOwnLeases(cluster, namespace, [...otherLeases, lease], identity)
    return true
  } catch (problem) {
    log(`the fault is not removed yet: ${messageOf(problem)}`)
    return false
  }
}
