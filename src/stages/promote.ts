// The stages promote and rollback: moves the canaries' weights step by step, or all traffic to stable at once.
import { gitopsWarnings } from '../canary/traffic/gitops.ts'
import { selectorsOf } from '../canary/workload/selectors.ts'
import { promote } from '../canary/promote.ts'
import { splitOf, type Promotion } from '../canary/controller/context.ts'
import { isHeldAsPlanned } from '../canary/state/ending.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import { findUndrained } from '../canary/controller/undrained.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { forceRollback } from '../canary/recovery.ts'
import { forward } from '../cluster/forward.ts'
import type { KubeObject } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { promotionReport, worstPromotion, type PromotionReport } from '../report/report.ts'
import { warn, type StageOutcome, type StageContext } from './context.ts'

export async function promoteCanaries(context: StageContext): Promise<StageOutcome> {
  const { config, host, redactor, cluster, connection, recorder } = context
  if (config.dryRun) return { changed: false }
  await warnOfGitops(context)
  const promotions = await promote(cluster, config, {
    signal: host.signal,
    intent: host.onRecoveryIntents,
    run: host.runName,
    redact: redactor.redact,
    note: host.info,
    clock: systemClock,
    readGuardProgram: host.readGuardProgram,
    forward: (...where) => forward(connection, ...where),
  })
  const reports = promotions.map(promotionReport)
  const { verdict, weight, reason } = worstPromotion(reports)!
  recorder.record({ promotions: reports, verdict, weight, reason })
  warn(context, reports.flatMap(splitWarnings))
  const errors = promotions.flatMap((each, i) => errorsOf(each, reports[i]!))
  if (errors.length > 0) recorder.record({ error: errors.join('\n') })
  return { changed: promotions.some((each) => each.verdict !== 'skipped') }
}

/** A GitOps controller that applies the same routes would reset the weights in the middle of the promotion. */
async function warnOfGitops(context: StageContext): Promise<void> {
  const { config, cluster } = context
  const routes = (
    await Promise.all(canariesOf(config).map((plan) => readRoutes(cluster, splitOf(config, plan)).catch(() => [])))
  ).flat()
  const applications = await cluster.list<KubeObject>('Application').catch(emptyWhenUnread)
  warn(context, [...new Set(routes.flatMap((object) => gitopsWarnings(object, applications)))])
}

/** A warning for each step whose observed split differs from its weight by more than chance and more than 5 points. */
export function splitWarnings({ service, canary, steps }: PromotionReport): string[] {
  return steps.flatMap(({ weight, split }) =>
    split && !split.fits && Math.abs(split.observed - weight) > 5
      ? [
          `at weight ${weight} ${canary} served ${split.observed}% of the requests of ${service}: ` +
            'something other than the moved routes decides which version serves, ' +
            'such as another VirtualService, or callers that address the pods',
        ]
      : [],
  )
}

/**
 * A skipped promotion is not an error: the canary has its weight already, or the failure of another canary is the
 * error.
 */
function errorsOf(promotion: Promotion, { service, canary, reason, diagnosis = [] }: PromotionReport): string[] {
  const { verdict, error } = promotion
  if (error !== undefined && verdict === 'promoted') return [`${canary} of ${service} was promoted, but ${error}`]
  if (verdict === 'promoted' || verdict === 'skipped' || (isHeldAsPlanned(promotion) && error === undefined)) return []
  const last = diagnosis.flatMap(({ pod, cause, log }) => [
    ...(cause === undefined ? [] : [`${pod}: ${cause}`]),
    ...(log.length > 0 ? [`the last lines of ${pod}: ${log.slice(-3).join(' | ')}`] : []),
  ])
  return [`the canary ${canary} of ${service} was not promoted (${verdict}): ${error ?? reason}`, ...last]
}

/** Moves all traffic to stable, whatever state the promotion is in, and checks that the proxies follow. */
export async function rollback(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, recorder } = context
  if (config.dryRun) return { changed: false }
  const moved: string[] = []
  for (const plan of canariesOf(config)) {
    const changed = await forceRollback(cluster, splitOf(config, plan), {
      run: host.runName,
      timeoutMs: plan.progressDeadline,
    })
    host.info(
      changed
        ? `all traffic of ${plan.service} is back at ${plan.stable.name}`
        : `${plan.canary.name} of ${plan.service} has no traffic: nothing changed`,
    )
    if (changed) moved.push(plan.service)
  }
  const reason =
    moved.length > 0
      ? `the stage rollback moved all traffic to stable (${moved.join(', ')})`
      : 'the canary had no traffic'
  recorder.record({ verdict: moved.length > 0 ? 'rolled-back' : 'skipped', weight: 0, reason })
  const serving = (await Promise.all(canariesOf(config).map((plan) => servingOf(context, plan)))).filter(
    (each) => each !== undefined,
  )
  if (serving.length > 0) throw new Error(serving.join('\n'))
  return { changed: moved.length > 0 }
}

async function servingOf({ config, host, cluster }: StageContext, plan: CanaryConfig): Promise<string | undefined> {
  try {
    const { canary: labels } = await selectorsOf(cluster, config, plan)
    return await findUndrained(
      cluster,
      splitOf(config, plan),
      { labels, metrics: plan.metrics, timeoutMs: plan.progressDeadline },
      host.info,
    )
  } catch (problem) {
    host.info(`cannot check whether ${plan.canary.name} of ${plan.service} still serves: ${messageOf(problem)}`)
    return undefined
  }
}
