// The stage uninstall: the mesh goes, and is seen to be gone.
import { uninstall as removeMesh } from '../uninstall/uninstall.ts'
import { istioctl, type StageOutcome, type StageContext } from './context.ts'

export async function uninstall(running: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, report } = running
  // Filled as it goes: what fails half-way has its place in the report, too.
  report.removed = []
  const done = { removed: report.removed, restarted: report.restarted }
  const { removed, restarted, remains } = await removeMesh(
    cluster,
    {
      namespace: config.namespace,
      ...(config.istio?.revision === undefined ? {} : { revision: config.istio.revision }),
      workloads: config.workloads ?? 'all',
      dryRun: config.dryRun,
      timeoutMs: config.verify.timeout,
      signal: host.signal,
      istioctl: (args) => istioctl(running, args),
      note: host.info,
    },
    done,
  )
  if (config.dryRun) report.removed = removed
  for (const name of removed) host.info(`${name}: ${config.dryRun ? 'would be removed' : 'removed'}`)
  report.removed = removed
  if (remains.length > 0)
    throw new Error(
      `something of the mesh is still there: ${remains.join(', ')}; look at what holds it (finalizers, another tool that puts it back) and run again`,
    )
  return { changed: removed.length > 0 || restarted.length > 0 }
}
