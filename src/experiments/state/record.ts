// What an experiment knows in every phase. Pure.
import { addRequests, noRequests } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { addEvidence, createEvidence } from './evidence.ts'
import { addMeshCounts, noMeshCounts } from './mesh-counts.ts'
import { addSigns, noPresence } from './presence.ts'
import { createStopWatch } from './stop.ts'
import type { Observation, Record, State } from './types.ts'

export function newRecord(experiment: ExperimentConfig, now: number): Record {
  return {
    timeline: [{ phase: 'waiting', at: now }],
    steady: noRequests,
    acting: noRequests,
    evidence: createEvidence(experiment),
    mesh: noMeshCounts,
    signs: { calls: 0, faulted: 0 },
    stop: createStopWatch(experiment),
    presence: noPresence,
  }
}

/** Without what only the phase of the state has. */
export function recordOf({ timeline, steady, acting, evidence, mesh, signs, stop, presence }: State): Record {
  return { timeline, steady, acting, evidence, mesh, signs, stop, presence }
}

/** Adds a sample of the time in which the fault acts. */
export function addActing<S extends State>(experiment: ExperimentConfig, state: S, seen: Observation, now: number): S {
  const { users, mesh, signs } = seen
  return {
    ...state,
    acting: addRequests(state.acting, users),
    evidence: addEvidence(experiment, state.evidence, users),
    mesh: addMeshCounts(state.mesh, mesh),
    signs: { calls: state.signs.calls + signs.calls, faulted: state.signs.faulted + signs.faulted },
    presence: addSigns(experiment, state.presence, signs, now),
  }
}

/** Whether every caller was read, so that nothing of what users got is missing. */
export function isComplete({ unready, unread }: Observation): boolean {
  return unready !== undefined && unread === 0
}
