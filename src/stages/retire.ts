// The stage retire: removes control planes that are older than this revision, once nothing uses them.
import { canTakeOver, foreignControlPlanes } from '../mesh/installer.ts'
import { removeRevision, usersOf } from '../mesh/revision-removal.ts'
import { listControlPlanes, type ControlPlane } from '../mesh/revisions.ts'
import { listNames } from '../runtime/errors.ts'
import { runIstioctl, warn, type StageOutcome, type StageContext } from './context.ts'

/** A newer control plane may belong to someone who has not moved to it yet, so it stays. */
export function olderControlPlanes(all: readonly ControlPlane[], revision: string): ControlPlane[] {
  const own = all.find((plane) => plane.revision === revision)
  return own ? all.filter((plane) => plane.revision !== revision && plane.createdAt < own.createdAt) : []
}

export async function retire(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, mesh: desired, recorder } = context
  const all = await listControlPlanes(cluster)
  const old = olderControlPlanes(all, desired!.revision)
  const removed: string[] = []
  const foreign = (await foreignControlPlanes(cluster, old)).filter(
    ({ plane }) => !config.istio!.takeOver || !canTakeOver(plane),
  )
  for (const plane of old) {
    const { revision, version } = plane
    const installer = foreign.find((each) => each.plane === plane)?.installer
    if (installer !== undefined) {
      const remedy = canTakeOver(plane) ? ', or set `istio.takeOver: true`' : ''
      warn(context, [
        `istio.removeOld: the control plane ${revision} (${version}) stays, because ${installer} installed it; ` +
          `remove it there${remedy}`,
      ])
      continue
    }
    const users = await usersOf(cluster, revision)
    if (users.length > 0) {
      warn(context, [
        `istio.removeOld: the control plane ${revision} (${version}) stays, because these still use it: ` +
          listNames(users),
      ])
      continue
    }
    if (!config.dryRun)
      await removeRevision(cluster, revision, desired!.revision, {
        istioctl: (args) => runIstioctl(context, args),
        timeoutMs: config.verify.timeout,
        signal: host.signal,
      })
    const title = `control plane ${revision} (${version})`
    host.info(`${title}: ${config.dryRun ? 'would be removed' : 'removed'}, because nothing uses it`)
    removed.push(title)
  }
  if (old.length === 0)
    host.info(
      all.some(({ revision }) => revision === desired!.revision)
        ? `no control plane is older than ${desired!.revision}`
        : `the control plane ${desired!.revision} does not exist yet, so none is older`,
    )
  if (removed.length > 0) recorder.record({ removed })
  return { changed: removed.length > 0 }
}
