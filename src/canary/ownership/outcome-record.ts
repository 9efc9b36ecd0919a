// Records how the last promotion of a service ended, and for which pod template: a later run counts a step as passed
// only for the template that was observed in it. A ConfigMap, because the Lease is deleted when a promotion ends.
import type { Cluster } from '../../cluster/client.ts'
import { managedByLabel, manager, outcomeLabel } from '../../cluster/labels.ts'
import type { ConfigMap } from '../../cluster/objects.ts'
import { isHeldAsPlanned } from '../state/ending.ts'
import type { EndedState } from '../state/types.ts'
import { leaseName } from './lease-object.ts'

/**
 * `passedWeight`: the canary's weight in per cent up to which its steps have passed. `failed`: the checks failed it, and
 * the plan held its weight. `session`: the holder of the Lease at the end; earlier versions wrote none.
 */
export type OutcomeRecord = {
  template: string
  passedWeight: number
  failed: boolean
  reason: string
  run: string
  session?: string
}

function outcomeName(service: string): string {
  return `${leaseName(service)}-outcome`
}

/** What a later run has to know. Pure. */
export function outcomeRecord(state: EndedState, template: string, run: string): OutcomeRecord {
  const { steps, weight, verdict, reason } = state
  const hasPassed = verdict === 'promoted' || isHeldAsPlanned(state)
  const lastPassed = steps.findLast(({ kind, outcome }) => kind === 'weight' && outcome === 'passed')
  const held = Math.min(weight, lastPassed?.weight ?? state.passedWeight)
  return {
    template,
    passedWeight: hasPassed ? weight : held,
    failed: weight > 0 && steps.at(-1)?.outcome === 'failed',
    reason,
    run,
  }
}

/** After the stage rollback no step counts, of whatever template. */
export function rolledBackRecord(reason: string, run: string, session: string): OutcomeRecord {
  return { template: '', passedWeight: 0, failed: false, reason, run, session }
}

/** The weight up to which the steps count for this pod template. Pure. */
export function passedWeight(record: OutcomeRecord | undefined, template: string): number {
  return record?.template === template ? record.passedWeight : 0
}

export async function writeOutcome(
  cluster: Cluster,
  namespace: string,
  service: string,
  record: OutcomeRecord,
): Promise<void> {
  await cluster.apply<ConfigMap>(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: outcomeName(service),
        namespace,
        labels: { [managedByLabel]: manager, [outcomeLabel]: service },
      },
      data: { 'outcome.json': JSON.stringify(record) },
    },
    true,
  )
}

/** Undefined if no promotion has ended yet, or if another version of mesh-canary wrote something else. */
export async function readOutcome(
  cluster: Cluster,
  namespace: string,
  service: string,
): Promise<OutcomeRecord | undefined> {
  const text = (await cluster.get<ConfigMap>('ConfigMap', namespace, outcomeName(service)))?.data?.['outcome.json']
  try {
    return text === undefined ? undefined : (JSON.parse(text) as OutcomeRecord)
  } catch {
    return undefined
  }
}
