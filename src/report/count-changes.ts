// How much a run changed. Pure.
import type { Report } from './report.ts'

/**
 * The objects that the run created, changed, deleted or restarted, or would in a dry run. An object that changed twice
 * counts once, and in each cluster of a fleet.
 */
export function countChanges(report: Report): number {
  if (report.clusters) return report.clusters.reduce((sum, each) => sum + countChanges(each.report), 0)
  const { dryRun, stages, plan, meshPlan = [], cluster, changes, restarted, mesh, removed } = report
  const done =
    countDistinct(changes) +
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

export function countDistinct(changes: Report['changes']): number {
  return new Set(changes.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`)).size
}
