// The report of a run over several clusters: one verdict, and the report of each cluster. Pure.
import { emptyReport, worstPromotion, type ClusterResult, type Report } from './report.ts'

/** `clusters`: at least one. The verdict is that of the worst promotion of all clusters. */
export function fleetReport(clusters: ClusterResult[], began: Date): Report {
  const reports = clusters.map(({ report }) => report)
  const promotions = clusters.flatMap(({ name, report }) =>
    report.promotions.map((promotion) => ({ ...promotion, cluster: name })),
  )
  const named = (texts: (report: Report) => string[]) =>
    clusters.flatMap(({ name, report }) => texts(report).map((text) => `${name}: ${text}`))
  const errors = named(({ error }) => error?.split('\n') ?? [])
  const worst = worstPromotion(promotions)
  const withoutPromotion = reports.find(({ verdict, promotions }) => verdict !== undefined && promotions.length === 0)
  return {
    ...emptyReport(
      reports[0]!.namespace,
      began,
      reports.every(({ dryRun }) => dryRun),
    ),
    seconds: (Date.now() - began.getTime()) / 1000,
    outcome: errors.length === 0 ? 'success' : 'failure',
    stages: clusters.flatMap(({ name, report }) =>
      report.stages.map((stage) => ({ ...stage, name: `${name}: ${stage.name}` })),
    ),
    warnings: named(({ warnings }) => warnings),
    promotions,
    ...(reports.some(({ experiments }) => experiments)
      ? { experiments: reports.flatMap((each) => each.experiments ?? []) }
      : {}),
    ...(worst ? { verdict: worst.verdict, weight: worst.weight, reason: `${worst.cluster}: ${worst.reason}` } : {}),
    ...(!worst && withoutPromotion
      ? { verdict: withoutPromotion.verdict!, reason: withoutPromotion.reason ?? '' }
      : {}),
    ...(errors.length === 0 ? {} : { error: errors.join('\n') }),
    clusters,
  }
}
