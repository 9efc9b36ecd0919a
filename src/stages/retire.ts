// The stage retire: control planes that were there before this revision's go, as soon as nothing uses them any more.
import { planes, removePlane, usersOf, type Plane } from '../mesh/revisions.ts'
import { some } from '../runtime/errors.ts'
import { istioctl, warn, type Done, type Running } from './context.ts'

/** A newer one than ours may be somebody's who has not moved yet. */
export function older(all: readonly Plane[], revision: string): Plane[] {
  const own = all.find((plane) => plane.revision === revision)
  return own ? all.filter((plane) => plane.revision !== revision && plane.createdAt < own.createdAt) : []
}

export async function retire(running: Running): Promise<Done> {
  const { config, host, cluster, asked, report } = running
  const all = await planes(cluster)
  const old = older(all, asked!.revision)
  const removed: string[] = []
  for (const { revision, version } of old) {
    const users = await usersOf(cluster, revision)
    if (users.length > 0) {
      warn(running, [
        `istio.removeOld: the control plane ${revision} (${version}) stays, for it is still used by ${some(users)}`,
      ])
      continue
    }
    if (!config.dryRun)
      await removePlane(cluster, revision, asked!.revision, {
        istioctl: (args) => istioctl(running, args),
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
  if (removed.length > 0) report.removed = [...(report.removed ?? []), ...removed]
  return { changed: removed.length > 0 }
}
