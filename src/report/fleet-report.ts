// The report of a run over several clusters: one verdict, and the report of each cluster. Pure.
import { withCluster } from '../runtime/cluster-text.ts'
import { emptyReport, worstPromotion, type ClusterResult, type PromotionReport, type Report } from './report.ts'

/**
 * `clusters`: at least one. The verdict is that of the worst cluster: `promoted` only if each has promoted the canary, now or
 * in an earlier run, and `rolled-back` by the stage rollback only if no cluster has failed.
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

type Outcome = Pick<PromotionReport, 'verdict' | 'reason' | 'rolledBackWith' | 'notStarted'> & {
  weight?: number | undefined
  cluster: string
}

function verdictOf(clusters: ClusterResult[]): Pick<Report, 'verdict' | 'weight' | 'reason'> {
  if (clusters.every(({ report }) => report.promotions.length === 0)) return verdictOfRollback(clusters)
  const outcomes = clusters.flatMap(outcomesOf)
  // What an earlier run has promoted makes the fleet no less promoted.
  const now = outcomes.filter(({ notStarted }) => notStarted !== 'nothing-to-do')
  // Users felt a rollback, whoever has caused it. The cause is the reason, but what went well is none.
  const worst = worstPromotion(now.map(({ rolledBackWith: _, ...each }) => each)) ?? outcomes[0]!
  const cause = worstPromotion(now.filter(({ verdict }) => verdict !== 'promoted')) ?? worst
  return verdictFrom(worst, cause)
}

/** A run that ended before its promotions has a verdict of its own. */
function outcomesOf({ name, report }: ClusterResult): Outcome[] {
  const { promotions, verdict, weight, reason = '' } = report
  const own = verdict === undefined ? [] : [{ verdict, weight, reason }]
  return (promotions.length > 0 ? promotions : own).map((each) => ({ ...each, cluster: name }))
}

/** The traffic of a fleet is back only where that of each cluster is, so one that failed makes it inconclusive. */
function verdictOfRollback(clusters: ClusterResult[]): Pick<Report, 'verdict' | 'weight' | 'reason'> {
  // A run that moves no traffic has no verdict, failed or not.
  if (clusters.every(({ report }) => report.verdict === undefined)) return {}
  const outcomes = clusters.flatMap((each) => {
    const { verdict, outcome, error = '' } = each.report
    const isUnknown = verdict === undefined && outcome === 'failure'
    const failed: Outcome = { verdict: 'inconclusive', reason: error.split('\n')[0]!, cluster: each.name }
    return isUnknown ? [failed] : outcomesOf(each)
  })
  const worst = outcomes.find(({ verdict }) => verdict === 'inconclusive') ?? worstPromotion(outcomes)!
  return verdictFrom(outcomes.every(({ weight }) => weight !== undefined) ? worst : { ...worst, weight: undefined })
}

function verdictFrom(worst: Outcome, cause = worst): Pick<Report, 'verdict' | 'weight' | 'reason'> {
  const { verdict, weight } = worst
  return { verdict, ...(weight === undefined ? {} : { weight }), reason: withCluster(cause.cluster, cause.reason) }
}
