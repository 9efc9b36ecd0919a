// The stage retire: control planes that were there before this revision's go, as soon as nothing uses them any more.
import { removeRevision, usersOf } from '../mesh/revision-removal.ts'
import { listControlPlanes, type ControlPlane } from '../mesh/revisions.ts'
import { listNames } from '../runtime/errors.ts'
import { runIstioctl, warn, type StageOutcome, type StageContext } from './context.ts'

/** A newer one than ours may be somebody's who has not moved yet. */
export function older(all: readonly ControlPlane[], revision: string): ControlPlane[] {
  const own = all.find((plane) => plane.revision === revision)
  return own ? all.filter((plane) => plane.revision !== revision && plane.createdAt < own.createdAt) : []
}

export async function retire(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, mesh: asked, recorder } = context
  const all = await listControlPlanes(cluster)
  const old = older(all, asked!.revision)
  const removed: string[] = []
  for (const { revision, version } of old) {
    const users = await usersOf(cluster, revision)
    if (users.length > 0) {
      warn(context, [
        `istio.removeOld: the control plane ${revision} (${version}) stays, for it is still used by ${listNames(users)}`,
      ])
      continue
    }
    if (!config.dryRun)
      await removeRevision(cluster, revision, asked!.revision, {
        istioctl: (args) => runIstioctl(context, args),
        timeoutMs: config.verify.timeout,
        signal: host.signal,
      })
    host.info(
      `control plane ${revision} (${version}): ${config.dryRun ? 'would be removed' : 'removed'}, for nothing uses it any more`,
    )
    removed.push(`control plane ${revision} (${version})`)
  }
  if (old.length === 0)
    host.info(
      all.some(({ revision }) => revision === asked!.revision)
        ? `no older control plane is beside ${asked!.revision}`
        : `the control plane ${asked!.revision} is not there yet, so none is older`,
    )
  if (removed.length > 0) recorder.record({ removed })
  return { changed: removed.length > 0 }
}
