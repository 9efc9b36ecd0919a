// The action's outputs and the command line's variables, for pipelines to branch on. Pure.
import { worstExperiment } from './experiment-report.ts'
import { worstPromotion, type Report } from './report.ts'

/** `json`, `html`: the paths of the reports that were written. */
export type ReportFiles = { json?: string | undefined; html?: string | undefined }

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
    image: report.commits?.flatMap(({ images }) => images).join(' '),
    patch: report.commits?.flatMap(({ patch }) => patch ?? []).join(' ') || undefined,
    'time-to-detect': promotion?.secondsToDetect,
    'requests-observed':
      promotion && report.promotions.reduce((sum, { requestsObserved }) => sum + requestsObserved, 0),
    'experiment-verdict': experiment?.verdict,
    'experiment-reason': experiment?.reason,
    changed: changed(report),
    'trace-id': report.traceId,
    report: files.json,
    'html-report': files.html,
  }
  return Object.fromEntries(
    Object.entries(outputs).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}

/** The objects that the run created, changed, deleted or restarted, or would in a dry run. An object that changed twice counts once. */
function changed(report: Report): number {
  if (report.clusters) return report.clusters.reduce((sum, each) => sum + changed(each.report), 0)
  const { dryRun, stages, plan, meshPlan = [], cluster, changes, restarted, mesh, removed } = report
  const done =
    new Set(changes.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`)).size +
    restarted.length +
    (cluster?.action === 'created' ? 1 : 0) +
    (mesh && mesh.action !== 'unchanged' ? 1 : 0) +
    (removed?.length ?? 0)
  // The stage install counts as one change, whether it runs or is only planned.
  const plansMesh = meshPlan.length > 0 && !stages.some(({ name }) => name === 'install')
  const wouldBe =
    (plan?.length ?? 0) +
    (plansMesh ? 1 : 0) +
    stages.filter(
      ({ name, outcome }) => (name === 'cluster' || name === 'install' || name === 'inject') && outcome === 'done',
    ).length
  return dryRun ? wouldBe + (removed?.length ?? 0) : done
}
