// The action's outputs and the command line's variables, for pipelines to branch on. Pure.
import { countChanges } from './count-changes.ts'
import { worstExperiment } from './experiment-report.ts'
import { worstPromotion, type Report } from './report.ts'

/** `json`, `html`: the paths of the reports that were written. */
export type ReportFiles = { json?: string | undefined; html?: string | undefined }

/** Without a cluster, a plan is not compared with anything: 0 would say that nothing differs. */
function wasCompared({ rendered, clusters }: Report): boolean {
  return clusters ? clusters.every(({ report }) => wasCompared(report)) : rendered === undefined
}

/** The outputs by name, without those that have no value. */
export function outputsOf(report: Report, files: ReportFiles): Record<string, string | number | boolean> {
  const promotion = worstPromotion(report.promotions)
  const experiment = worstExperiment(report.experiments ?? [])
  const outputs = {
    'istioctl-path': report.istioctl?.path,
    'istioctl-version': report.istioctl?.version,
    'cache-hit': report.istioctl?.cacheHit,
    kubeconfig: report.cluster?.kubeconfig,
    'ingress-address': report.cluster?.ingress.http,
    'cluster-logs': report.cluster?.logs,
    'mesh-version': report.mesh?.version,
    images: report.images?.join(' '),
    verdict: report.verdict,
    'engine-verdict': promotion?.engineVerdict,
    weight: report.weight,
    reason: report.reason,
    // In a fleet, each cluster names the same ones.
    image: report.commits && [...new Set(report.commits.flatMap(({ images }) => images))].join(' '),
    patch: report.commits?.flatMap(({ patch }) => patch ?? []).join(' ') || undefined,
    'time-to-detect': promotion?.secondsToDetect,
    'requests-observed':
      promotion && report.promotions.reduce((sum, { requestsObserved }) => sum + requestsObserved, 0),
    'experiment-verdict': experiment?.verdict,
    'experiment-reason': experiment?.reason,
    changed: wasCompared(report) ? countChanges(report) : undefined,
    'trace-id': report.traceId,
    report: files.json,
    'html-report': files.html,
  }
  return Object.fromEntries(
    Object.entries(outputs).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
