// The report of a run over several clusters: one verdict, and the report of each cluster. Pure.
import { withCluster } from '../runtime/cluster-text.ts'
import { emptyReport, worstPromotion, type ClusterResult, type PromotionReport, type Report } from './report.ts'

/**
 * `clusters`: at least one. The verdict is that of the worst cluster: `promoted` only if each has promoted the canary, now or
 * in an earlier run.
 */
export function fleetReport(clusters: ClusterResult[], began: Date): Report {
  const reports = clusters.map(({ report }) => report)
  const named = (texts: (report: Report) => string[]) =>
    clusters.flatMap(({ name, report }) => texts(report).map((text) => withCluster(name, text)))
  const errors = named(({ error }) => error?.split('\n') ?? [])
  const commits = reports.flatMap((report) => report.commits ?? [])
  const istioctl = reports.find((report) => report.istioctl)?.istioctl
  const images = [...new Set(reports.flatMap((report) => report.images ?? []))]
  const experiments = clusters.flatMap(({ name, report }) =>
    (report.experiments ?? []).map((experiment) => ({ ...experiment, cluster: name })),
  )
  const meshes = reports.flatMap(({ mesh }) => mesh ?? [])
  const [mesh] = meshes.every(({ version }) => version === meshes[0]!.version) ? meshes : []
  const returned = named(({ returned = [] }) => returned)
  const traces = reports.flatMap((report) => report.traceId ?? [])
  return {
    ...emptyReport(
      reports[0]!.namespace,
      began,
      reports.every(({ dryRun }) => dryRun),
    ),
    seconds: (Date.now() - began.getTime()) / 1000,
    outcome: errors.length === 0 ? 'success' : 'failure',
    stages: clusters.flatMap(({ name, report }) => report.stages.map((stage) => ({ ...stage, cluster: name }))),
    warnings: named(({ warnings }) => warnings),
    promotions: clusters.flatMap(({ name, report }) =>
      report.promotions.map((promotion) => ({ ...promotion, cluster: name })),
    ),
    ...verdictOf(clusters),
    ...(experiments.length > 0 ? { experiments } : {}),
    ...(returned.length > 0 ? { returned } : {}),
    ...(commits.length > 0 ? { commits } : {}),
    ...(images.length > 0 ? { images } : {}),
    ...(istioctl ? { istioctl } : {}),
    ...(mesh ? { mesh } : {}),
    ...(traces.length > 0 ? { traceId: traces.join(' ') } : {}),
    ...(errors.length === 0 ? {} : { error: errors.join('\n') }),
    clusters,
  }
}

function verdictOf(clusters: ClusterResult[]): Pick<Report, 'verdict' | 'weight' | 'reason'> {
  const outcomes = clusters.flatMap(({ name, report }) =>
    outcomeIn(report).map((outcome) => ({ ...outcome, cluster: name })),
  )
  // What an earlier run has promoted makes the fleet no less promoted.
  const now = outcomes.filter(({ notStarted }) => notStarted !== 'nothing-to-do')
  // Users felt a rollback, whoever has caused it. The cause is the reason, but what went well is none.
  const worst = worstPromotion(now.map(({ rolledBackWith: _, ...each }) => each)) ?? outcomes[0]
  if (!worst) return {}
  const cause = worstPromotion(now.filter(({ verdict }) => verdict !== 'promoted')) ?? worst
  return { verdict: worst.verdict, weight: worst.weight, reason: withCluster(cause.cluster, cause.reason) }
}

type Outcome = Pick<PromotionReport, 'verdict' | 'weight' | 'reason' | 'rolledBackWith' | 'notStarted'>

/** A run that ended before its promotions has a verdict of its own. */
function outcomeIn({ promotions, verdict, weight = 0, reason = '' }: Report): Outcome[] {
  return promotions.length > 0 || verdict === undefined ? promotions : [{ verdict, weight, reason }]
}
