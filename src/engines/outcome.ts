// How a followed rollout ends: from what the engine says, and from what the evidence says. Pure.
import type { ActiveState, EngineVerdict, Outcome } from '../canary/state/types.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { doubtOf } from './judge.ts'
import { isHalted, isServing, type RolloutProgress } from './progress.ts'

/**
 * `title`: of the object. `condemned`: why this run aborts the rollout, in words. `detectMs`: from the canary's first request
 * to that. `heldMs`, `waitingMs`, `abortingMs`: how long the engine has waited for somebody, has not begun, has not followed the
 * abort. `revision`: the one that this run follows, once it is known.
 */
export type EndingInput = {
  plan: CanaryConfig
  title: string
  engine: string
  state: ActiveState
  progress: RolloutProgress
  revision: string | undefined
  condemned?: string | undefined
  detectMs?: number | undefined
  heldMs: number
  waitingMs: number
  abortingMs: number
  /** How long the engine may take to notice a change. */
  noticeMs: number
  /** How often the engine looks whether somebody has approved; 0 if it learns of it at once. */
  looksEveryMs: number
  /** This run set no image, so what has failed may be all that there is. */
  wroteNothing?: boolean
  /** What may keep the engine from following an abort, continuing a sentence. */
  delaysAbort?: string
  /** The canary's weight at which this run found the rollout, if it was under way; what was seen before does not count. */
  joinedAt?: number | undefined
  /** What the engine has said last in a warning. */
  lastWarning?: string | undefined
}

/**
 * `error`: the run fails, also with a verdict that is no failure by itself. `warning`: it does not. `engineVerdict`: what the
 * engine itself has made of this revision, as far as it is seen. `isOver`: the rollout that this run followed is no more.
 */
export type Ending = Outcome & { error?: string; warning?: string; engineVerdict?: EngineVerdict; isOver?: true }

/** Undefined while the rollout goes on. */
export function endingOf(followed: EndingInput): Ending | undefined {
  const { progress, revision, condemned } = followed
  if (revision === undefined) return endWithoutStart(followed)
  if (progress.phase === 'waiting')
    return condemned === undefined ? endSilent(followed) : endUnanswered(followed, condemned)
  if (progress.revision !== revision) return endReplaced(followed, revision)
  if (progress.phase === 'failed') return progress.weight === 0 ? endRolledBack(followed) : undefined
  if (progress.phase === 'promoted') return endPromoted(followed, revision)
  if (condemned !== undefined) return endUnanswered(followed, condemned)
  return isHalted(progress.phase) ? endHeld(followed) : undefined
}

function inconclusive(reason: string, engineVerdict?: EngineVerdict): Ending {
  const ofEngine = engineVerdict === undefined ? {} : { engineVerdict }
  return { verdict: 'inconclusive', reason, error: reason, ...ofEngine }
}

/** The approval may be there already, and the engine has not looked since. */
const hasLooked = ({ heldMs, looksEveryMs }: EndingInput) => heldMs >= 1.5 * looksEveryMs

function endWithoutStart(followed: EndingInput): Ending | undefined {
  const { engine, title, progress, waitingMs, noticeMs, looksEveryMs, wroteNothing } = followed
  if (progress.phase === 'approval' && !hasLooked(followed)) return undefined
  if (progress.phase === 'approval')
    return {
      verdict: 'held',
      engineVerdict: 'held',
      reason: `${engine} waits for approval before it begins (${progress.where}); approve it, and a later run follows`,
      asPlanned: true,
    }
  const limitMs = progress.phase === 'failed' && wroteNothing ? Math.min(noticeMs, 3 * looksEveryMs) : noticeMs
  if (waitingMs < limitMs) return undefined
  if (progress.phase === 'failed')
    return inconclusive(
      `the last rollout of the ${title} has failed (${progress.reason || progress.where}), and ${engine} has begun with no other ` +
        `within ${Math.round(limitMs / 1000)} s; change the image, or check that its controller runs, and its log`,
    )
  return inconclusive(
    `${engine} has not begun with the ${title} within ${Math.round(noticeMs / 1000)} s (${progress.where}); check that its ` +
      'controller runs, and its log',
  )
}

function endSilent({ engine, title, progress, waitingMs, noticeMs }: EndingInput): Ending | undefined {
  if (waitingMs < noticeMs) return undefined
  return inconclusive(
    `${engine} has not acted on the ${title} for ${Math.round(noticeMs / 1000)} s (${progress.where}, weight ${progress.weight}); ` +
      'check that its controller runs, and its log',
    'running',
  )
}

/** Somebody changed what is rolled out, so neither the evidence nor the end is about what this run began with. */
export function endChanged({ engine, title }: Pick<EndingInput, 'engine' | 'title'>): Ending {
  const reason =
    `somebody changed the pod template of the ${title}, or undid the change, while this run followed it, so the evidence is about ` +
    `another version; ${engine} continues with what is there now`
  return { ...inconclusive(reason), isOver: true }
}

function endReplaced({ engine, title, progress }: EndingInput, revision: string): Ending {
  const now = progress.phase === 'promoted' ? 'was rolled back, or replaced: stable is' : 'was replaced by'
  const reason =
    `the revision ${revision} of the ${title} ${now} ${progress.revision} (${progress.where}), so the evidence is about ` +
    `another one; ${engine} continues with what is there now`
  return { ...inconclusive(reason), isOver: true }
}

function endRolledBack({ engine, progress, condemned, detectMs, lastWarning }: EndingInput): Ending {
  const why = [progress.reason || progress.where, lastWarning].filter(Boolean)
  const own = `${engine} has rolled the canary back: ${why.join('; ')}`
  return {
    verdict: 'rolled-back',
    engineVerdict: 'rolled-back',
    reason: condemned === undefined ? own : condemned,
    ...(condemned === undefined || detectMs === undefined ? {} : { timeToDetectMs: detectMs }),
  }
}

function endPromoted({ plan, engine, title, state, condemned, joinedAt }: EndingInput, revision: string): Ending {
  const act = `${engine} has promoted the revision ${revision} of the ${title}`
  if (condemned !== undefined)
    return inconclusive(`${act} before it could be aborted, although the canary failed: ${condemned}`, 'promoted')
  const doubt = doubtOf(plan, state)
  if (!doubt)
    return { verdict: 'promoted', engineVerdict: 'promoted', reason: `${act}, and every check of this run passed` }
  const undecided = `the evidence of this run is undecided: ${doubt.text}${earlier(joinedAt)}`
  const reason = `${act}; ${undecided}`
  if (doubt.leansAgainst || plan.onInconclusive !== 'promote') return inconclusive(reason, 'promoted')
  const accepted = `${reason}; \`onInconclusive: promote\` accepts that`
  return { verdict: 'promoted', engineVerdict: 'promoted', reason: accepted, warning: undecided }
}

function earlier(joinedAt: number | undefined): string {
  return joinedAt === undefined ? '' : ` (it began at weight ${joinedAt}, and what an earlier run saw does not count)`
}

function endUnanswered(
  { engine, title, abortingMs, noticeMs, progress, delaysAbort = '' }: EndingInput,
  condemned: string,
): Ending | undefined {
  if (abortingMs < noticeMs) return undefined
  return inconclusive(
    `${condemned}; but ${engine} has not followed the abort of the ${title} within ${Math.round(noticeMs / 1000)} s ` +
      `(${progress.where}, weight ${progress.weight})${delaysAbort}`,
    'running',
  )
}

/** The one who approves gets the evidence, so the run waits for it. */
function endHeld(followed: EndingInput): Ending | undefined {
  const { plan, engine, state, progress, heldMs } = followed
  if (!hasLooked(followed)) return undefined
  const { weight, where, phase, reason } = progress
  const doubt = isServing(progress) ? doubtOf(plan, state) : undefined
  if (doubt && heldMs < plan.progressDeadline) return undefined
  const evidence = !isServing(progress)
    ? ''
    : doubt === undefined
      ? '; every check of this run has passed'
      : `; the evidence is undecided: ${doubt.text}`
  if (phase === 'approval')
    return {
      verdict: 'held',
      engineVerdict: 'held',
      reason: `${engine} waits for approval (${where}, weight ${weight})${evidence}`,
      asPlanned: true,
    }
  const held = `${engine} has stopped the rollout without a verdict (${reason || where}, weight ${weight})${evidence}`
  return { verdict: 'held', engineVerdict: 'held', reason: held, error: held }
}
