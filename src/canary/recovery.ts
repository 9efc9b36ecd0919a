// From outside a promotion's own loop: what a run that died left undone, and a put-back on request.
import { guardName } from './ownership/guard-manifest.ts'
import { ApiError, type Cluster } from '../cluster/client.ts'
import type { Lease } from '../cluster/objects.ts'
import { relieve, savedRoutes } from './ownership/session.ts'
import { guardOf, leaseName, marks, seize } from './ownership/lease.ts'
import type { Intent } from './promote.ts'
import { stillServing } from './controller/drain.ts'
import { putAllBack, type Split } from './traffic/router.ts'

/**
 * Puts the traffic back, or leaves it where it is to be held, and gives up the Lease; answers in one sentence what was done,
 * if anything. @throws Error also when the canary still serves though its weight is 0.
 */
export async function undo(
  cluster: Cluster,
  intent: Intent,
  held: boolean,
  note: (line: string) => void,
): Promise<string | undefined> {
  const { split, sight, unseen } = intent
  const { what, isBack } = unseen ? { what: undefined, isBack: true } : await finish(cluster, intent, held)
  const serving = isBack ? await stillServing(cluster, split, sight, note) : undefined
  if (serving !== undefined) throw new Error(serving)
  return what
}

type Undone = { what: string | undefined; isBack: boolean }

async function finish(cluster: Cluster, { split, identity }: Intent, held: boolean): Promise<Undone> {
  const { namespace, service, stable } = split
  const lease = await cluster.get<Lease>('Lease', namespace, leaseName(service))
  const holder = lease?.spec?.holderIdentity ?? ''
  const isGuards = holder === guardOf(identity)
  // Ended, given up, put back by the guard, or another run's by now: nothing here is left to undo.
  if (holder !== identity && !isGuards) return { what: lease?.metadata.annotations?.[marks.endedName], isBack: false }
  if (held && isGuards)
    return { what: `the guard is putting all traffic of ${service} back to ${stable.name}`, isBack: false }
  if (!held) await putAllBack(cluster, split, await savedRoutes(cluster, namespace, service))
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
      { op: 'add', path: marks.ended, value: why },
      { op: 'replace', path: '/spec/holderIdentity', value: '' },
    ])
    .catch((error: unknown) => {
      // Somebody was quicker, and has the say now.
      if (!(error instanceof ApiError) || ![404, 422].includes(error.status)) throw error
    })
  await relieve(cluster, namespace, guardName(service, identity))
}

/** All traffic to stable, whoever promotes the service at the moment: a run that does loses its Lease first. Answers whether anything was written. */
export async function rollBack(cluster: Cluster, split: Split, run: string): Promise<boolean> {
  const { namespace, service } = split
  const lease = await seize(
    cluster,
    namespace,
    service,
    `${run} (rollback)`,
    `${run} put all traffic back (stage rollback)`,
  )
  const written = await putAllBack(cluster, split, lease ? await savedRoutes(cluster, namespace, service) : [])
  if (lease) await cluster.remove('Lease', namespace, leaseName(service), lease.metadata.uid)
  return written.length > 0
}
