// Aborts the rollout of an engine from outside a promotion, and waits until the engine has returned the traffic to stable.
import type { FollowedRollout } from '../canary/promote.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import type { Cluster } from '../cluster/client.ts'
import { isConflict } from '../cluster/api-error.ts'
import type { Split } from '../policies/routes.ts'
import type { Clock } from '../runtime/clock.ts'
import { engineOf, weightIn, type Engine, type Live } from './engine.ts'
import { isUnderWay, type RolloutProgress } from './progress.ts'

export type AbortOptions = { timeoutMs: number; note: (line: string) => void; clock: Clock; signal?: AbortSignal }

/** `nothing`: it was not under way. `late`: the engine had promoted it. `open`: no answer of the engine in time. */
export type Aborted = 'aborted' | 'nothing' | 'late' | 'open'

const pollMs = 500

export async function abortRollout(
  cluster: Cluster,
  split: Split,
  followed: FollowedRollout,
  { timeoutMs, note, clock, signal }: AbortOptions,
): Promise<Aborted> {
  const engine = engineOf(followed.type)
  const deadline = clock.now() + timeoutMs
  let isWritten = false
  for (;;) {
    const live = await engine.read(cluster, split.namespace, followed.name)
    if (!live) return 'nothing'
    const progress = await readProgress(cluster, engine, live, split)
    const isOwn = 'from' in followed ? progress.revision !== followed.from : progress.revision === followed.revision
    if (isReturned(progress, isOwn)) return isWritten || isOwn ? 'aborted' : 'nothing'
    if (isOwn && (progress.phase === 'promoted' || progress.phase === 'promoting')) return 'late'
    const isComing = 'from' in followed && progress.phase === 'waiting'
    const isOpen = isOwn && (isUnderWay(progress) || progress.phase === 'failed')
    if (!isWritten && !isComing && !isOpen) return 'nothing'
    if (clock.now() >= deadline) return 'open'
    if (isOpen) {
      await engine.abort(cluster, live, progress.revision, split).catch(unlessConflict)
      if (!isWritten) note(`the rollout of the ${engine.kind} ${followed.name} is told to abort`)
      isWritten = true
    }
    await clock.sleep(pollMs, signal)
  }
}

/** The engine has failed the revision, and no route gives the canary traffic. */
function isReturned({ phase, weight }: RolloutProgress, isOwn: boolean): boolean {
  return isOwn && phase === 'failed' && weight === 0
}

/** Another revision has come, or the engine has written its status meanwhile: the next look shows which. */
function unlessConflict(error: unknown): void {
  if (!isConflict(error)) throw error
}

export async function readProgress(
  cluster: Cluster,
  engine: Engine,
  live: Live,
  split: Split,
): Promise<RolloutProgress> {
  const routes = await readRoutes(cluster, split).catch(() => [])
  return engine.progress(live, weightIn(routes, split))
}
