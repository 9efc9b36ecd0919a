// The stage uninstall: removes the mesh and checks that nothing is left.
import { generatedObjectFaults } from '../engines/generate/hand-back.ts'
import { uninstall as uninstallMesh } from '../uninstall/uninstall.ts'
import { runIstioctl, type StageContext, type StageOutcome } from './context.ts'
import { dashboardRemoval } from './dashboards.ts'
import { edgeRemoval } from './edge.ts'

export async function uninstall(context: StageContext): Promise<StageOutcome> {
  const { config, host, recorder } = context
  const removeFromGrafana = await dashboardRemoval(context)
  const removeFromEdge = await edgeRemoval(context)
  // Filled during the removal, so that an uninstall that fails half-way reports what it removed.
  const progress = { removed: [] as string[], restarted: [] as string[] }
  const {
    restarted,
    remains,
    isOneOfSeveral = false,
    ...mesh
  } = await removeMesh(context, progress).catch((error: unknown) => {
    recorder.record(progress)
    throw error
  })
  recorder.record({ removed: mesh.removed, restarted: progress.restarted })
  // Only now: an uninstall that refuses leaves users their way, and so does a control plane that goes on.
  const fromEdge = isOneOfSeveral ? [] : await removeFromEdge()
  recorder.record({ removed: fromEdge })
  const fromGrafana = await removeFromGrafana()
  recorder.record({ removed: fromGrafana })
  const removed = [...mesh.removed, ...fromEdge, ...fromGrafana]
  for (const name of removed) host.info(`${name}: ${config.dryRun ? 'would be removed' : 'removed'}`)
  if (remains.length > 0)
    throw new Error(
      `parts of the mesh are still there: ${remains.join(', ')}; ` +
        'find out what holds them (finalizers, another tool that creates them again) and run again',
    )
  return { changed: removed.length > 0 || restarted.length > 0 }
}

async function removeMesh(context: StageContext, progress: { removed: string[]; restarted: string[] }) {
  const { config, host, cluster } = context
  const removal = {
    faults: await generatedObjectFaults(cluster, config.namespace),
    namespace: config.namespace,
    ...(config.istio?.revision === undefined ? {} : { revision: config.istio.revision }),
    workloads: config.workloads ?? ('all' as const),
    ...(config.identity.repository === undefined ? {} : { repository: config.identity.repository }),
    takesOver: config.istio?.takeOver ?? false,
    dryRun: config.dryRun,
    timeoutMs: config.verify.timeout,
    signal: host.signal,
    istioctl: (args: string[]) => runIstioctl(context, args),
    note: host.info,
  }
  return uninstallMesh(cluster, removal, progress)
}
