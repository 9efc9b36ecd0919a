// From outside a promotion's own loop: what a run that died left undone, and a put-back on request.
import { guardName } from './ownership/guard-manifest.ts'
import { ApiError, type Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import { deleteGuard, readSavedRoutes } from './ownership/session.ts'
import { guardIdentity, leaseName, leasePaths, seizeLease } from './ownership/lease.ts'
import type { RecoveryIntent } from './promote.ts'
import { findUndrained } from './controller/drain.ts'
import { resetToStable, type Split } from './traffic/router.ts'

/**
 * Puts the traffic back, or leaves it where it is to be held, and gives up the Lease; answers in one sentence what was done,
 * if anything. @throws Error also when the canary still serves though its weight is 0.
 */
export async function recoverPromotion(
  cluster: Cluster,
  intent: RecoveryIntent,
  held: boolean,
  note: (line: string) => void,
): Promise<string | undefined> {
  const { split, drainTarget, needsDrainCheck } = intent
  const { what, isBack } = needsDrainCheck ? { what: undefined, isBack: true } : await finish(cluster, intent, held)
  const serving = isBack ? await findUndrained(cluster, split, drainTarget, note) : undefined
  if (serving !== undefined) throw new Error(serving)
  return what
}

type Undone = { what: string | undefined; isBack: boolean }

async function finish(cluster: Cluster, { split, identity }: RecoveryIntent, held: boolean): Promise<Undone> {
  const { namespace, service, stable } = split
  const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
  const holder = lease?.spec?.holderIdentity ?? ''
  const isGuards = holder === guardIdentity(identity)
  // Ended, given up, put back by the guard, or another run's by now: nothing here is left to undo.
  if (holder !== identity && !isGuards)
    return { what: lease?.metadata.annotations?.[leasePaths.endedName], isBack: false }
  if (held && isGuards)
    return { what: `the guard is putting all traffic of ${service} back to ${stable.name}`, isBack: false }
  if (!held) await resetToStable(cluster, split, await readSavedRoutes(cluster, namespace, service))
  const what = held
    ? `the traffic of ${service} stays as it is (\`onCancel: hold\`)`
    : `all traffic of ${service} was put back to ${stable.name}`
  if (!isGuards) await giveUp(cluster, split, identity, `the run ended in the middle of the promotion, and ${what}`)
  return { what, isBack: !held }
}

async function giveUp(cluster: Cluster, { namespace, service }: Split, identity: string, why: string): Promise<void> {
  await cluster
    .patch('Lease', namespace, leaseName(service), [
      { op: 'test', path: '/spec/holderIdentity', value: identity },
      { op: 'add', path: leasePaths.ended, value: why },
      { op: 'replace', path: '/spec/holderIdentity', value: '' },
    ])
    .catch((error: unknown) => {
      // Somebody was quicker, and has the say now.
      if (!(error instanceof ApiError) || ![404, 422].includes(error.status)) throw error
    })
  await deleteGuard(cluster, namespace, guardName(service, identity))
}

/** All traffic to stable, whoever promotes the service at the moment: a run that does loses its Lease first. Answers whether anything was written. */
export async function forceRollback(cluster: Cluster, split: Split, run: string): Promise<boolean> {
  const { namespace, service } = split
  const lease = await seizeLease(
    cluster,
    namespace,
    service,
    `${run} (rollback)`,
    `${run} put all traffic back (stage rollback)`,
  )
  const written = await resetToStable(cluster, split, lease ? await readSavedRoutes(cluster, namespace, service) : [])
  if (lease) await cluster.remove('Lease', namespace, leaseName(service), lease.metadata.uid)
  return written.length > 0
}
