// The JSON report: what a run did, as plain data. The summary and the outputs are made from it.
import type { CheckResult } from '../canary/analysis/check-results.ts'
import type { Diagnosis } from '../canary/controller/diagnosis.ts'
import { shownCount, type Times } from '../canary/analysis/request-counts.ts'
import { explainChecks } from '../canary/state/machine.ts'
import { timeToDetect } from '../canary/state/ending.ts'
import type { EngineVerdict, Stage, Step, Verdict } from '../canary/state/types.ts'
import type { NotStarted, Promotion } from '../canary/controller/context.ts'
import { timelineReport, type TimelineReport } from './timeline-report.ts'
import type { Cost } from '../mesh/cost.ts'
import type { Installed } from '../mesh/install.ts'
import type { Change } from '../policies/apply.ts'
import type { ChangeAction } from '../policies/plan.ts'
import { interval, plausible } from '../statistics/binomial.ts'
import { inPercent } from '../statistics/percent.ts'
import type { TelemetryRow } from '../verify/telemetry/types.ts'
import type { TrafficCheckRow } from '../verify/traffic-checks.ts'
import type { PodRow } from '../verify/pods.ts'
import type { ProxyRow } from '../verify/proxies.ts'
import type { MtlsRow } from '../verify/mtls-probe.ts'
import type { ExperimentReport } from './experiment-report.ts'

type StageKind = Stage['kind']
/** `cluster`: of a fleet. */
export type StageResult = { name: string; seconds: number; outcome: 'done' | 'unchanged' | 'failed'; cluster?: string }

export type PlanRow = { action: ChangeAction; kind: string; namespace: string; name: string; diff: string[] }

/** Requests and, among them, failures. */
export type RequestTally = { requests: number; failures: number }

/**
 * `weight`: per cent; of a mirror the share that is copied. `split`: the canary's share of the requests since the
 * traffic moved, in per cent, with its 99% interval, and whether it fits the weight. In 1% of the promotions a step's
 * share does not fit by chance.
 */
export type StepReport = {
  kind: StageKind
  weight: number
  startSeconds: number
  seconds: number
  canary: RequestTally
  stable: RequestTally
  split?: { observed: number; low: number; high: number; fits: boolean }
  outcome: string
}

/** Timed requests, without those of the warm-up. `within`: how many took at most so many milliseconds. */
export type LatencyReport = { canary: Times; stable: Times }

/** `userRequests`: as the callers' own sidecars counted them, after retries. Times are seconds, weights per cent. */
export type PromotionReport = {
  service: string
  stable: string
  canary: string
  verdict: Verdict
  weight: number
  reason: string
  steps: StepReport[]
  /** What every check counted, how strong its evidence was, and what it said at the end. */
  checks: CheckResult[]
  requestsObserved: number
  userRequests: { total: number; failed: number }
  secondsToDetect?: number
  secondsToSafe?: number
  /** What this run saw over time. Old samples are joined, so that hours fit. */
  timeline?: TimelineReport
  latency?: LatencyReport
  /** What the controller has made of it, if one moves the traffic: `verdict` is what this run says. */
  engineVerdict?: EngineVerdict
  /** The canary's last log lines and warnings, if it failed. */
  diagnosis?: Diagnosis[]
  /** The service, or the cluster of a fleet, whose failure rolled this one back too. */
  rolledBackWith?: string
  /** Stable runs what the canary ran, and the canary is scaled to 0. */
  adopted?: boolean
  /** Why this run did not start it: there was nothing to do, or something has prevented it. */
  notStarted?: NotStarted
  /** The cluster of a fleet. */
  cluster?: string
  /** Its lines in the run's `error`, if it has failed. */
  errors?: string[]
}

/**
 * `ingress`: the address of the ingress gateway from this machine, as `address:port`. `logs`: the folder with the
 * nodes' logs, if the run failed.
 */
export type ClusterReport = {
  name: string
  action: 'created' | 'used' | 'failed'
  kind: string
  kubernetes?: string
  nodes: number
  kubeconfig: string
  ingress: { http?: string; https?: string }
  loaded: string[]
  logs?: string
}

/** A cluster of a fleet, and what the run did there. */
export type ClusterResult = { name: string; wave: number; report: Report }

export type Report = {
  startedAt: string
  seconds: number
  outcome: 'success' | 'failure'
  /** The run wrote nothing: the report says what it would do. */
  dryRun: boolean
  namespace: string
  server?: string
  stages: StageResult[]
  cluster?: ClusterReport
  istioctl?: { path: string; version: string; cacheHit: boolean }
  mesh?: Installed
  /** The images of the control plane and its sidecars, if the run installs or changes it. */
  images?: string[]
  changes: Change[]
  restarted: string[]
  pods: PodRow[]
  /** One sentence each. */
  warnings: string[]
  /** The changes of the control plane that the run found. `mesh` says whether it has made them. */
  meshPlan?: PlanRow[]
  /** The changes of the policies and of what goes with them that the run found. `changes` has those that it has made. */
  plan?: PlanRow[]
  /** Weights that stay as they are in the cluster although a file says something else, one sentence each. */
  keptWeights?: string[]
  /** The objects as YAML, if there was no cluster to compare them with. */
  rendered?: string
  proxies?: ProxyRow[]
  mtls?: MtlsRow[]
  trafficChecks?: TrafficCheckRow[]
  /** Whether a request's metric, trace and access log line arrived. */
  telemetry?: TelemetryRow[]
  cost?: Cost
  /** What uninstall removed, or would remove. */
  removed?: string[]
  /** The verdict of the promotion; of several promotions the worst. */
  verdict?: Verdict
  /** The weight of that canary at the end, in per cent. */
  weight?: number
  reason?: string
  /**
   * The services whose traffic the stage rollback has moved to stable, whether all of it has followed or not. Of a fleet:
   * with their clusters.
   */
  returned?: string[]
  promotions: PromotionReport[]
  experiments?: ExperimentReport[]
  /** What to commit where Git owns stable. `patch`: the path of a file, unless it could not be written. */
  commits?: { service: string; images: string[]; patch?: string }[]
  /** The run's trace, if a collector has it. Of a fleet: those of its clusters, with spaces between. */
  traceId?: string
  /** Of a run over several clusters. */
  clusters?: ClusterResult[]
  /** Why the run failed: one sentence per line. */
  error?: string
}

/** The report of a run that has done nothing yet. */
export function emptyReport(namespace: string, startedAt: Date, dryRun: boolean): Report {
  return {
    startedAt: startedAt.toISOString(),
    seconds: 0,
    outcome: 'success',
    dryRun,
    namespace,
    stages: [],
    changes: [],
    restarted: [],
    pods: [],
    warnings: [],
    promotions: [],
  }
}

export function promotionReport(promotion: Promotion): PromotionReport {
  const { plan, startedAt, steps, canary, stable, users, timeline = [] } = promotion
  const { secondsToSafe, diagnosis, rolledBackWith, adopted, engineVerdict, notStarted } = promotion
  const timeToDetectMs = timeToDetect(promotion)
  return {
    service: plan.service,
    stable: plan.stable.name,
    canary: plan.canary.name,
    verdict: promotion.verdict,
    weight: promotion.weight,
    reason: promotion.reason,
    steps: steps.map((step) => stepReport(step, startedAt, 1 - misfits / steps.length)),
    checks: explainChecks(plan, promotion),
    requestsObserved: Math.round(canary.requests),
    userRequests: { total: users.requests, failed: users.failures },
    ...(timeToDetectMs === undefined ? {} : { secondsToDetect: timeToDetectMs / 1000 }),
    ...(secondsToSafe === undefined ? {} : { secondsToSafe }),
    ...(timeline.length > 0 ? { timeline: timelineReport(timeline, startedAt) } : {}),
    ...(canary.times.total > 0 ? { latency: { canary: canary.times, stable: stable.times } } : {}),
    ...(engineVerdict === undefined ? {} : { engineVerdict }),
    ...(diagnosis ? { diagnosis } : {}),
    ...(rolledBackWith === undefined ? {} : { rolledBackWith }),
    ...(adopted === undefined ? {} : { adopted }),
    ...(notStarted === undefined ? {} : { notStarted }),
  }
}

/** The share of promotions in which the split of some step is called wrong by chance. */
const misfits = 0.01

function stepReport(step: Step, startedAt: number, confidence: number): StepReport {
  const { kind, weight, shiftedAt, canary, stable, outcome } = step
  const endedAt = 'endedAt' in step ? step.endedAt : shiftedAt
  return {
    kind,
    weight,
    startSeconds: (shiftedAt - startedAt) / 1000,
    seconds: (endedAt - shiftedAt) / 1000,
    canary: requestTally(canary),
    stable: requestTally(stable),
    ...split(step, confidence),
    outcome,
  }
}

function requestTally({ requests, failures }: RequestTally): RequestTally {
  return { requests: shownCount(requests), failures: shownCount(failures) }
}

function split(step: Step, confidence: number): Pick<StepReport, 'split'> {
  const watched = 'watched' in step ? step.watched : undefined
  if (step.kind !== 'weight' || !watched) return {}
  const [canary, stable] = [Math.round(watched.canary), Math.round(watched.stable)]
  const all = canary + stable
  if (all === 0) return {}
  const [low, high] = interval(canary, all, 0.99)
  return {
    split: {
      observed: inPercent(canary / all),
      low: inPercent(low),
      high: inPercent(high),
      fits: plausible(canary, all, step.weight / 100, confidence),
    },
  }
}

type Ranked = Pick<PromotionReport, 'verdict' | 'rolledBackWith'>

/**
 * The worst verdict represents all: rolled back, then inconclusive, held, skipped and promoted. A canary that was
 * rolled back only because another one failed comes last.
 */
export function worstPromotion<T extends Ranked>(promotions: T[]): T | undefined {
  const order: Verdict[] = ['rolled-back', 'inconclusive', 'held', 'skipped', 'promoted']
  const rank = ({ rolledBackWith, verdict }: Ranked) =>
    (rolledBackWith === undefined ? 0 : order.length) + order.indexOf(verdict)
  return [...promotions].sort((a, b) => rank(a) - rank(b))[0]
}
