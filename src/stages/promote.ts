// The stages promote and rollback: moves the canaries' weights step by step, or all traffic to stable at once.
import { gitopsWarnings } from '../canary/traffic/gitops.ts'
import { describeOutage, hasEndpoint } from '../canary/workload/endpoints.ts'
import { readSelectors, SelectorFault, selectorsOf } from '../canary/workload/selectors.ts'
import { promote } from '../canary/promote.ts'
import { splitOf, type Promotion } from '../canary/controller/context.ts'
import { isHeldAsPlanned } from '../canary/state/ending.ts'
import type { Verdict } from '../canary/state/types.ts'
import { emptyWhenUnread } from '../cluster/api-error.ts'
import { findUndrained, type Undrained } from '../canary/controller/undrained.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { forceRollback } from '../canary/recovery.ts'
import { forward } from '../cluster/forward.ts'
import type { Cluster } from '../cluster/client.ts'
import type { KubeObject, Pod } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
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
  await requireStable(context)
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
  const undrained = (await Promise.all(canariesOf(config).map((plan) => undrainedOf(context, plan)))).flatMap(
    (each) => each ?? [],
  )
  recorder.record({ ...rollbackVerdict(moved, undrained), weight: 0 })
  const serving = undrained.filter(({ kind }) => kind === 'serving').map(({ text }) => text)
  if (serving.length > 0) throw new Error(serving.join('\n'))
  warn(
    context,
    undrained.map(({ text }) => text),
  )
  return { changed: moved.length > 0 }
}

/** @throws Error that names each stable version to which no traffic may return, before anything is written. */
async function requireStable({ config, host, cluster }: StageContext): Promise<void> {
  const outages = canariesOf(config).map(async (plan) => {
    try {
      return await stableOutage(cluster, config, plan)
    } catch (problem) {
      host.info(`cannot check whether ${plan.stable.name} of ${plan.service} serves: ${messageOf(problem)}`)
      return undefined
    }
  })
  const found = (await Promise.all(outages)).filter((each) => each !== undefined)
  if (found.length > 0) throw new Error(`${found.join('\n')}; then run the stage rollback again: nothing was changed`)
}

async function stableOutage(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<string | undefined> {
  const [{ stable }, pods] = await Promise.all([
    readSelectors(cluster, config, plan),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  if (stable instanceof SelectorFault) {
    if (stable.isEmpty) return stable.message
    throw stable
  }
  return hasEndpoint(pods, config.namespace, stable) ? undefined : describeOutage(splitOf(config, plan))
}

/** Traffic is rolled back only when nobody reaches the canary any more. `moved`: the services whose weights moved. */
function rollbackVerdict(moved: string[], undrained: Undrained[]): { verdict: Verdict; reason: string } {
  const did =
    moved.length > 0
      ? `the stage rollback moved all traffic to stable (${moved.join(', ')})`
      : 'the canary had no traffic'
  if (undrained.length > 0)
    return { verdict: 'inconclusive', reason: `${did}; but ${undrained.map(({ text }) => text).join('; ')}` }
  return { verdict: moved.length > 0 ? 'rolled-back' : 'skipped', reason: did }
}

async function undrainedOf(
  { config, host, cluster }: StageContext,
  plan: CanaryConfig,
): Promise<Undrained | undefined> {
  try {
    const selectors = await selectorsOf(cluster, config, plan)
    return await findUndrained(
      cluster,
      splitOf(config, plan),
      { selectors, clients: plan.clients, metrics: plan.metrics, timeoutMs: plan.progressDeadline },
      host.info,
    )
  } catch (problem) {
    const text = `this run cannot check whether ${plan.canary.name} of ${plan.service} still serves: ${messageOf(problem)}`
    return { kind: 'unseen', text }
  }
}
