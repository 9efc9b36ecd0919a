// The report of an experiment: its verdict, its timeline, what users got, and what the mesh did. Pure.
import type { RequestCounts } from '../canary/analysis/request-counts.ts'
import { quantileEdge, shownCount } from '../canary/analysis/request-counts.ts'
import type { EndedExperiment } from '../experiments/experiment.ts'
import { targetOf } from '../experiments/faults/fault-plan.ts'
import { advice, findings } from '../experiments/findings.ts'
import type { MeshFacts } from '../experiments/route-policies.ts'
import { userChecks, type UserCheck } from '../experiments/state/evidence.ts'
import type { MeshCounts } from '../experiments/state/mesh-counts.ts'
import type { FaultSigns } from '../experiments/state/coverage.ts'
import type { ExperimentVerdict, Phase } from '../experiments/state/types.ts'

/** `p99Ms`: as exact as the buckets of the sidecars' histogram are; undefined without timed requests. */
export type UserReport = { requests: number; failures: number; p99Ms?: number }

/**
 * `timeline`: seconds from the start. `recovery`: what the counters showed after the removal of the fault.
 * `secondsToRecovered`: from the removal until the users were back.
 */
export type ExperimentReport = {
  /** The cluster of a fleet. */
  cluster?: string
  name: string
  service: string
  fault: string
  verdict: ExperimentVerdict
  reason: string
  timeline: { phase: Phase; atSeconds: number }[]
  before: UserReport
  during: UserReport
  faulted: FaultSigns
  mesh: MeshCounts
  checks: UserCheck[]
  recovery: 'unneeded' | 'confirmed' | 'unconfirmed'
  secondsToRecovered?: number
  /** Why the recovery is not confirmed. */
  problem?: string
  findings: string[]
  advice: string[]
}

export function experimentReport(ended: EndedExperiment, facts: MeshFacts): ExperimentReport {
  const { name, experiment, state } = ended
  const { outcome, recovery, timeline, steady, acting, signs, mesh, evidence } = state
  const [first] = timeline
  return {
    name,
    service: experiment.service,
    fault: Object.keys(experiment.inject)[0]!,
    ...outcome,
    timeline: timeline.map(({ phase, at }) => ({ phase, atSeconds: (at - first!.at) / 1000 })),
    before: userReport(steady),
    during: userReport(acting),
    faulted: signs,
    mesh,
    checks: acting.requests === 0 ? [] : userChecks(experiment, evidence, acting),
    recovery: recovery.kind,
    ...(recovery.kind === 'confirmed' ? { secondsToRecovered: recovery.seconds } : {}),
    ...(recovery.kind === 'unconfirmed' ? { problem: recovery.problem } : {}),
    findings: findings(experiment, state, targetOf(experiment)),
    advice: advice(experiment, state, facts),
  }
}

function userReport({ requests, failures, times }: RequestCounts): UserReport {
  const p99Ms = quantileEdge(times, 0.99)
  return { requests: shownCount(requests), failures: shownCount(failures), ...(p99Ms === undefined ? {} : { p99Ms }) }
}

/** The worst verdict represents all: fragile, then inconclusive, then resilient. */
export function worstExperiment(experiments: ExperimentReport[]): ExperimentReport | undefined {
  const order: ExperimentVerdict[] = ['fragile', 'inconclusive', 'resilient']
  return [...experiments].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict))[0]
}
