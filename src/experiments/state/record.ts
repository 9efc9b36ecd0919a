// What an experiment knows in every phase. Pure.
import { addRequests, noRequests } from '../../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { addEvidence, createEvidence } from './evidence.ts'
import { addMeshCounts, noMeshCounts } from './mesh-counts.ts'
import { addSigns, addToCoverage, noCoverage, noSigns } from './coverage.ts'
import { createStopWatch } from './stop.ts'
import type { Observation, ExperimentRecord, State } from './types.ts'

export function newRecord(experiment: ExperimentConfig, now: number): ExperimentRecord {
  return {
    timeline: [{ phase: 'waiting', at: now }],
    steady: noRequests,
    acting: noRequests,
    evidence: createEvidence(experiment),
    mesh: noMeshCounts,
    signs: noSigns,
    stop: createStopWatch(experiment),
    coverage: noCoverage,
  }
}

/** Without what only the phase of the state has. */
export function recordOf({ timeline, steady, acting, evidence, mesh, signs, stop, coverage }: State): ExperimentRecord {
  return { timeline, steady, acting, evidence, mesh, signs, stop, coverage }
}

/** Adds a sample of the time in which the fault acts. */
export function addActing<S extends State>(experiment: ExperimentConfig, state: S, seen: Observation, now: number): S {
  const coverage = addToCoverage(experiment, state.coverage, seen.signs, now)
  return { ...addCounts(experiment, state, seen), signs: addSigns(state.signs, seen.signs), coverage }
}

/** Adds what callers counted while the fault acted, and what was read later. */
export function addCounts<S extends State>(
  experiment: ExperimentConfig,
  state: S,
  { users, mesh }: Observation['late'],
): S {
  return {
    ...state,
    acting: addRequests(state.acting, users),
    evidence: addEvidence(experiment, state.evidence, users),
    mesh: addMeshCounts(state.mesh, mesh),
  }
}

/** Whether every caller was read, so that nothing of what users got is missing. */
export function isComplete({ podsNotReady, callersNotRead }: Observation): boolean {
  return podsNotReady !== undefined && callersNotRead === 0
}
