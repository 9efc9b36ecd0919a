// The stage promote: moves the canaries' weights step by step.
import { gitopsWarnings, readApplications } from '../canary/traffic/gitops.ts'
import { promote } from '../canary/promote.ts'
import { PromotionsStopped, type PromoteDeps } from '../canary/waves.ts'
import type { Promotion, PromotionDeps } from '../canary/controller/context.ts'
import { isHeldAsPlanned } from '../canary/state/ending.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { forward } from '../cluster/forward.ts'
import { canariesOf } from '../config/names.ts'
import { splitOf } from '../policies/routes.ts'
import type { Config } from '../config/schema.ts'
import { startFollowing } from '../engines/start.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { promotionReport, worstPromotion, type PromotionReport } from '../report/report.ts'
import { promotionAnnotator } from './annotations.ts'
import { warn, type StageOutcome, type StageContext } from './context.ts'
import { policies } from './policies.ts'
import { prepareReleases, configAtRest, type PreparedReleases } from './release.ts'

export async function promoteCanaries(context: StageContext): Promise<StageOutcome> {
  const { config, host } = context
  if (config.dryRun) return { changed: false }
  await warnOfGitops(context)
  try {
    return await promoteAll(context)
  } catch (problem) {
    const note = (another: unknown) =>
      host.info(
        `the policies could not be applied again after the failure, so stable's subset may still leave pods out: ` +
          `${messageOf(another)}; run the stage policies`,
      )
    if (!host.signal.aborted) await bringToRest(context).catch(note)
    throw problem
  }
}

async function promoteAll(context: StageContext): Promise<StageOutcome> {
  const { config, host, redactor, cluster, connection, recorder, telemetry, others, fleetFailure } = context
  const releases = await prepareReleases(context)
  const annotator = promotionAnnotator(context)
  const deps = {
    ...releases,
    signal: host.signal,
    run: host.runName,
    redact: redactor.redact,
    note: host.info,
    warn: (line: string) => warn(context, [line]),
    clock: systemClock,
    readGuardProgram: host.readGuardProgram,
    forward: (...where: Parameters<PromotionDeps['forward']>) => forward(connection, ...where),
    clusterOfFleet: clusterOfFleet(context),
  }
  const promotions = await promote(cluster, config, {
    ...deps,
    ...(others ? { others } : {}),
    ...(fleetFailure === undefined ? {} : { fleetFailure }),
    runsUntil: runsUntil(config),
    intent: host.onRecoveryIntents,
    onProgress: (progress) => {
      telemetry.promotionsSeen(progress)
      annotator.follow(progress)
      host.onProgress?.(progress)
    },
    follow: (plan, watched, { readSidecars }) =>
      startFollowing(cluster, config, plan, watched, { ...deps, readSidecars }, ({ kind, name }) =>
        recorder.record({ changes: [{ kind, namespace: config.namespace, name, action: 'changed' }] }),
      ),
  }).catch(async (problem: unknown) => {
    await releases.abandon()
    await annotator.end([])
    if (problem instanceof PromotionsStopped) recordStopped(context, problem)
    throw problem
  })
  telemetry.promotionsEnded(promotions.map(asProgress), systemClock.now())
  for (const promotion of promotions) await cleanUpUnused(context, promotion, releases.created)
  const reports = promotions.map(withErrors)
  recordPromotions(context, reports)
  const errors = reports.flatMap((report) => report.errors ?? [])
  if (errors.length > 0) recorder.record({ error: errors.join('\n') })
  // After the report has its verdict: a Grafana that does not answer must not cost it.
  await annotator.end(promotions)
  if (!host.signal.aborted) await bringToRest(context)
  return { changed: promotions.some(({ notStarted }) => notStarted === undefined) }
}

/** In a fleet, a second pass may have had nothing left to do for a canary that the first one has ended. */
function recordPromotions({ recorder }: StageContext, reports: PromotionReport[]): void {
  const begun = reports.filter(({ notStarted }) => notStarted === undefined)
  const earlier = recorder.current().promotions.filter((each) => begun.every(({ service }) => service !== each.service))
  const others = reports.filter((each) => earlier.every(({ service }) => service !== each.service))
  const promotions = [...earlier, ...others]
  const { verdict, weight, reason } = worstPromotion(promotions)!
  recorder.record({ promotions, verdict, weight, reason })
}

/** What was promoted stays promoted, but the whole was not: one of the canaries could not start. */
function recordStopped(context: StageContext, { message, promotions }: PromotionsStopped): void {
  recordPromotions(context, promotions.map(withErrors))
  const { verdict } = context.recorder.current()
  if (verdict === 'promoted' || verdict === 'skipped')
    context.recorder.record({ verdict: 'inconclusive', reason: message })
}

function clusterOfFleet({ host, connection }: StageContext): PromotionDeps['clusterOfFleet'] {
  if (host.cluster === undefined) return undefined
  const { kubeconfig, context } = connection
  return { name: host.cluster, context, ...(kubeconfig === undefined ? {} : { kubeconfig }) }
}

/** The rest of the time is for the last writes, the report, and what the stage does after the promotions. */
function runsUntil({ runFor }: Config): PromoteDeps['runsUntil'] {
  if (!runFor) return undefined
  const { duration, resumeWithin } = runFor
  // The time of the run starts with this process.
  const startedAt = systemClock.now() - performance.now()
  const leadMs = Math.min(longestLeadMs, duration / 5)
  return {
    at: startedAt + duration - leadMs,
    latestAt: startedAt + duration - leadMs / 2,
    resumeWithinMs: resumeWithin,
    why: `the run ends after ${duration / 1_000} s (\`runFor\`)`,
  }
}

const longestLeadMs = 120_000

const asProgress = (promotion: Promotion) => {
  const { plan, namespace } = promotion
  return { plan, namespace, state: promotion }
}

/** Removes a canary whose turn did not come: one of an earlier wave failed, or the time of the run was over. */
async function cleanUpUnused(
  { host }: StageContext,
  { notStarted, weight, plan }: Promotion,
  created: PreparedReleases['created'],
): Promise<void> {
  const canary = notStarted && weight === 0 ? created(plan.service) : undefined
  if (canary) host.info(await canary.cleanUp())
}

/** Applies the policies again, without the releases that have ended. */
async function bringToRest(context: StageContext): Promise<void> {
  const { recorder } = context
  const config = await configAtRest(context)
  if (!config) return
  const { plan = [] } = recorder.current()
  await policies({ ...context, config })
  recorder.record({ plan: [...plan, ...(recorder.current().plan ?? [])] })
}

/** A GitOps controller that applies the same routes would reset the weights in the middle of the promotion. */
async function warnOfGitops(context: StageContext): Promise<void> {
  const { config, cluster } = context
  const routes = (
    await Promise.all(canariesOf(config).map((plan) => readRoutes(cluster, splitOf(config, plan)).catch(() => [])))
  ).flat()
  const applications = await readApplications(cluster)
  warn(context, [...new Set(routes.flatMap((object) => gitopsWarnings(object, applications)))])
}

function withErrors(promotion: Promotion): PromotionReport {
  const report = promotionReport(promotion)
  const errors = errorsOf(promotion, report)
  return errors.length === 0 ? report : { ...report, errors }
}

/**
 * A skipped promotion is not an error: the canary has its weight already, or the failure of another canary is the
 * error.
 */
function errorsOf(promotion: Promotion, { service, reason, diagnosis = [] }: PromotionReport): string[] {
  const { verdict, error, engineVerdict } = promotion
  if (error !== undefined && verdict === 'promoted') return [`the canary of ${service} was promoted, but ${error}`]
  if (verdict === 'promoted' || verdict === 'skipped' || (isHeldAsPlanned(promotion) && error === undefined)) return []
  const last = diagnosis.flatMap(({ pod, cause, log }) => [
    ...(cause === undefined ? [] : [`${pod}: ${cause}`]),
    ...(log.length > 0 ? [`the last lines of ${pod}: ${log.slice(-3).join(' | ')}`] : []),
  ])
  const ended = engineVerdict === 'promoted' ? `ended ${verdict}` : `was not promoted (${verdict})`
  return [`the canary of ${service} ${ended}: ${error ?? reason}`, ...last]
}
