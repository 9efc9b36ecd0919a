// The stages promote and rollback: moves the canaries' weights step by step, or all traffic to stable at once.
import { gitopsWarnings, readApplications } from '../canary/traffic/gitops.ts'
import { describeOutage, hasEndpoint } from '../canary/workload/endpoints.ts'
import { restoreMinReplicas } from '../canary/workload/min-replicas.ts'
import { readSelectors, SelectorFault } from '../canary/workload/selectors.ts'
import { promote } from '../canary/promote.ts'
import { PromotionsStopped, type PromoteDeps } from '../canary/waves.ts'
import type { Promotion, PromotionDeps } from '../canary/controller/context.ts'
import { isHeldAsPlanned } from '../canary/state/ending.ts'
import type { Verdict } from '../canary/state/types.ts'
import { drainTarget, findUndrained, type Undrained } from '../canary/controller/undrained.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { forceRollback } from '../canary/recovery.ts'
import { forward } from '../cluster/forward.ts'
import { urgent, type Cluster } from '../cluster/client.ts'
import type { Pod } from '../cluster/objects.ts'
import { abRouteName, canariesOf, followedCanariesOf } from '../config/names.ts'
import { canaryWeightOf, isVirtualService, splitOf, splitsIn, type Routed } from '../policies/routes.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import { rollBackFollowed } from '../engines/recovery.ts'
import { startFollowing } from '../engines/start.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { promotionReport, worstPromotion, type PromotionReport } from '../report/report.ts'
import { promotionAnnotator } from './annotations.ts'
import { warn, type StageOutcome, type StageContext } from './context.ts'
import { policies } from './policies.ts'
import { prepareReleases, configAtRest, type PreparedReleases } from './release.ts'
import { autoscalerDeps } from './release-leftovers.ts'

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

/**
 * Moves all traffic to stable, whatever state the promotions are in, and checks that the proxies follow.
 * @throws Error that names each canary whose traffic cannot return, or did not; the traffic of all others has returned.
 */
export async function rollback(rateLimited: StageContext): Promise<StageOutcome> {
  const context = { ...rateLimited, cluster: urgent(rateLimited.cluster) }
  const { config, recorder } = context
  if (config.dryRun) return { changed: false }
  // At once, so that one that the API server refuses for a long time does not keep users on the other canaries.
  const results = await Promise.all([
    ...canariesOf(config).map((plan) => rollBackOne(context, plan)),
    ...followedCanariesOf(config).map((plan) => abortFollowed(context, plan)),
  ])
  const moved = results.flatMap(({ plan, changed }) => (changed ? [plan.service] : []))
  const failed = results.flatMap(({ failure }) => failure ?? [])
  const undrained = results.flatMap((each) => each.undrained ?? [])
  const unrestored = results.flatMap((each) => each.unrestored ?? [])
  recorder.record({
    ...rollbackVerdict(moved, [...failed, ...undrained.map(({ text }) => text)], unrestored),
    ...(failed.length > 0 ? {} : { weight: 0 }),
    returned: moved,
  })
  const errors = [...failed, ...undrained.map(({ text }) => text)]
  if (errors.length > 0) throw new Error(errors.join('\n'))
  return { changed: moved.length > 0 || results.some(({ restored }) => restored) }
}

/**
 * `changed`: weights moved. `failure`: why the traffic is not back at stable. `restored`: an autoscaler was written.
 * `unrestored`: which autoscaler of stable keeps what the promotion has set.
 */
type RolledBack = {
  plan: CanaryConfig
  changed: boolean
  failure?: string
  undrained?: Undrained | undefined
  restored?: boolean
  unrestored?: string | undefined
}

async function rollBackOne(context: StageContext, plan: CanaryConfig): Promise<RolledBack> {
  const { config, host, cluster } = context
  const { service, stable, canary } = plan
  try {
    await requireStable(context, plan)
    const changed = await forceRollback(cluster, splitOf(config, plan), {
      run: host.runName,
      timeoutMs: plan.progressDeadline,
    })
    host.info(
      changed
        ? `the routes send all traffic of ${service} to ${stable.name}`
        : `the routes give ${canary.name} of ${service} no traffic: nothing changed`,
    )
    const undrained = await undrainedOf(context, plan)
    return { plan, changed, undrained, ...(await restoreAutoscaler(context, service)) }
  } catch (problem) {
    return { plan, changed: false, failure: `${service} was not rolled back: ${messageOf(problem)}` }
  }
}

/** The rollout of a controller, which returns the traffic itself. */
async function abortFollowed({ cluster, config, host }: StageContext, plan: CanaryConfig): Promise<RolledBack> {
  try {
    return { plan, changed: await rollBackFollowed(cluster, config.namespace, plan, host.info) }
  } catch (problem) {
    return { plan, changed: false, failure: `${plan.service} was not rolled back: ${messageOf(problem)}` }
  }
}

/** Also when the traffic is back already: a cancelled promotion may have left the autoscaler raised. */
async function restoreAutoscaler(
  context: StageContext,
  service: string,
): Promise<Pick<RolledBack, 'restored' | 'unrestored'>> {
  try {
    const deps = autoscalerDeps(context)
    const { changed, unrestored } = await restoreMinReplicas(context.cluster, context.config.namespace, service, deps)
    return { restored: changed, unrestored }
  } catch (problem) {
    const unrestored = `the autoscaler of ${service} was not restored: ${messageOf(problem)}; run the stage \`rollback\` again`
    warn(context, [unrestored])
    return { unrestored }
  }
}

/** @throws Error if no traffic may return to this stable version, before anything of it is written. */
async function requireStable({ config, host, cluster }: StageContext, plan: CanaryConfig): Promise<void> {
  const outage = await stableOutage(cluster, config, plan).catch((problem: unknown) => {
    host.info(`cannot check whether ${plan.stable.name} of ${plan.service} serves: ${messageOf(problem)}`)
    return undefined
  })
  if (outage === undefined || (await hasNoTraffic(cluster, config, plan))) return
  throw new Error(`${outage}; then run the stage rollback again: nothing of ${plan.service} was changed`)
}

/** True if every route gives the canary weight 0 already, and `ab` sends it no requests that match. */
async function hasNoTraffic(cluster: Cluster, config: Config, plan: CanaryConfig): Promise<boolean> {
  const split = splitOf(config, plan)
  const routes = await readRoutes(cluster, split).catch(() => [])
  const isMatching = (object: Routed) =>
    isVirtualService(object) && (object.spec.http ?? []).some(({ name }) => name === abRouteName)
  const weights = routes.flatMap((object) => splitsIn(object, split)).map(canaryWeightOf)
  return weights.length > 0 && weights.every((weight) => weight === 0) && !routes.some(isMatching)
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

/**
 * Traffic is rolled back only when nobody reaches the canary any more. `moved`: the services whose weights moved.
 * `unrestored`: what keeps no traffic from stable, but is not as before the promotion.
 */
function rollbackVerdict(
  moved: string[],
  problems: string[],
  unrestored: string[],
): { verdict: Verdict; reason: string } {
  const did =
    moved.length > 0
      ? `the stage rollback set the canary's weight to 0 (${moved.join(', ')})`
      : problems.length > 0
        ? 'the stage rollback wrote no weight'
        : "the canary's weight was 0 already"
  const but = [...problems, ...unrestored]
  const reason = but.length > 0 ? `${did}; but ${but.join('; ')}` : did
  if (problems.length > 0) return { verdict: 'inconclusive', reason }
  return { verdict: moved.length > 0 ? 'rolled-back' : 'skipped', reason }
}

async function undrainedOf(
  { config, host, cluster }: StageContext,
  plan: CanaryConfig,
): Promise<Undrained | undefined> {
  try {
    // Versions that have pods in common can be checked as well.
    const { stable, canary } = await readSelectors(cluster, config, plan)
    if (stable instanceof SelectorFault) throw stable
    if (canary instanceof SelectorFault) throw canary
    return await findUndrained(cluster, splitOf(config, plan), drainTarget(plan, { stable, canary }), host.info)
  } catch (problem) {
    const text = `this run cannot check whether ${plan.canary.name} of ${plan.service} still serves: ${messageOf(problem)}`
    return { kind: 'unseen', text }
  }
}
