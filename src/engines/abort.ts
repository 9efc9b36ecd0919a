// Aborts the rollout of an engine from outside a promotion, and waits until the engine has returned the traffic to stable.
import { isTransient } from '../canary/controller/writer.ts'
import type { FollowedRollout } from '../canary/active-promotion.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import type { Cluster } from '../cluster/client.ts'
import { isConflict } from '../cluster/api-error.ts'
import type { Split } from '../policies/routes.ts'
import type { Clock } from '../runtime/clock.ts'
import { engineOf, weightIn, type Engine, type Live } from './engine.ts'
import { isUnderWay, type RolloutProgress } from './progress.ts'

/** `hasController`: false if no pod of it is ready, so that nobody would follow the abort. */
export type AbortOptions = {
  timeoutMs: number
  note: (line: string) => void
  clock: Clock
  signal?: AbortSignal
  hasController?: boolean
}

/**
 * `nothing`: it was not under way. `late`: the engine had promoted it. `open`: no answer of the engine in time. `pending`: the
 * engine has not begun in time, so nothing could be aborted, and it may begin later.
 */
export type Aborted = 'aborted' | 'nothing' | 'late' | 'open' | 'pending'

const pollMs = 500

/** What one look at the rollout says: how it ended, or whether it can be aborted now, or has to be waited for. */
type Look = { ended: Aborted } | { abort: string } | { wait: true }

export async function abortRollout(
  cluster: Cluster,
  split: Split,
  followed: FollowedRollout,
  { timeoutMs, note, clock, signal, hasController = true }: AbortOptions,
): Promise<Aborted> {
  const engine = engineOf(followed.type)
  const deadline = clock.now() + timeoutMs
  const did = { write: false }
  /** @returns how it ended, if it has. */
  const tryOnce = async (): Promise<Aborted | undefined> => {
    const live = await engine.read(cluster, split.namespace, followed.name)
    if (!live) return 'nothing'
    const progress = await readProgress(cluster, engine, live, split)
    const look = lookAt(progress, followed, did.write)
    if ('ended' in look) return look.ended
    const isFollowed = hasController && !engine.isSuspended(live.object)
    if (did.write && progress.weight === 0 && !isFollowed) return 'open'
    if ('abort' in look && (await engine.abort(cluster, live, look.abort, split))) {
      if (!did.write)
        note(`the rollout of the ${engine.kind} ${followed.name} was told to abort${engine.delaysAbort(live.object)}`)
      did.write = true
    }
    return undefined
  }
  for (;;) {
    const isLast = clock.now() >= deadline
    const ended = await tryOnce().catch((error: unknown) => {
      // Another revision has come, or the engine has written its status meanwhile: the next look shows which.
      const isPassing = isConflict(error) || isTransient(error)
      if (isLast || !isPassing) throw error
    })
    if (ended) return ended
    if (isLast) return did.write ? 'open' : 'pending'
    await clock.sleep(pollMs, signal)
  }
}

function lookAt(progress: RolloutProgress, followed: FollowedRollout, isWritten: boolean): Look {
  const { phase, revision, weight } = progress
  // The controller has not seen the last change yet, or waits for approval to begin with it.
  if (phase === 'waiting' || progress.isBefore) return { wait: true }
  const isOwn = 'from' in followed ? revision !== followed.from : revision === followed.revision
  if (!isOwn) return 'from' in followed && phase === 'promoted' && !isWritten ? { wait: true } : { ended: 'nothing' }
  if (phase === 'promoted' || phase === 'promoting') return { ended: 'late' }
  if (phase === 'failed' && weight === 0) return lookAtFailed(followed, isWritten)
  return isUnderWay(progress) || phase === 'failed' ? { abort: revision } : { wait: true }
}

/** Flagger knows the new revision a moment before it leaves the phase of the one that failed before. */
function lookAtFailed(followed: FollowedRollout, isWritten: boolean): Look {
  if (isWritten || 'revision' in followed) return { ended: 'aborted' }
  return followed.wroteNothing ? { ended: 'nothing' } : { wait: true }
}

/** @throws Error if the routes cannot be read, so that nobody takes that for weight 0. */
export async function readProgress(
  cluster: Cluster,
  engine: Engine,
  live: Live,
  split: Split,
): Promise<RolloutProgress> {
  return engine.progress(live, weightIn(await readRoutes(cluster, split), split))
}
