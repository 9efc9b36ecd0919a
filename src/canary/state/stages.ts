// The stages of a plan, those that are still ahead, and the routes that each needs. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { watchedBefore } from './steps.ts'
import type { Action, Progress, Stage, Step } from './types.ts'

/** The stages of the plan in their order, up to the weight `until`. */
export function stagesOf({ mirror, ab, steps, until = 100, interval }: CanaryConfig): Stage[] {
  return [
    ...(mirror ? [{ kind: 'mirror', percent: mirror.percent, forMs: mirror.interval ?? interval } as const] : []),
    ...(ab ? [{ kind: 'ab', forMs: ab.intervals * interval } as const] : []),
    ...steps
      .filter((weight) => weight <= until)
      .map((weight) => ({ kind: 'weight', weight, forMs: interval }) as const),
  ]
}

/**
 * How long this run watches a stage, in milliseconds: without what earlier runs have watched of it. What nobody watched
 * between two runs may have changed the canary, so each run sees for itself. `stage`: its number, from 1.
 */
export function msToWatch(
  { minInterval }: Pick<CanaryConfig, 'minInterval'>,
  progress: Progress,
  stage: number,
  forMs: number,
): number {
  return Math.max(forMs - watchedBefore(progress, stage).ms, Math.min(forMs, minInterval))
}

/** How many stages a canary with this weight (in per cent) has already completed. */
export function stagesReached(plan: CanaryConfig, weight: number): number {
  if (weight === 0) return 0
  return stagesOf(plan).filter((stage) => stage.kind !== 'weight' || stage.weight <= weight).length
}

/** What starts the stage. */
export function stageAction(stage: Stage): Action {
  switch (stage.kind) {
    case 'mirror':
      return { kind: 'mirror', percent: stage.percent }
    case 'ab':
      return { kind: 'ab' }
    case 'weight':
      return { kind: 'weight', weight: stage.weight }
  }
}

/** What ends the stage of this step: a weight stays, a mirror or a header route must be removed. */
export function clearActions(step: Step | undefined): Action[] {
  return step?.kind === 'mirror' || step?.kind === 'ab' ? [{ kind: 'clear' }] : []
}

/** The stage of the step, in words. */
export function describeStage({ kind, weight }: Step): string {
  switch (kind) {
    case 'mirror':
      return 'with mirrored requests'
    case 'ab':
      return 'with the requests that match `ab`'
    case 'weight':
      return `at weight ${weight}`
  }
}
