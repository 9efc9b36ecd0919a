// Releases an image or manifests: plans them before the run changes anything, creates their canaries before the promotions,
// and brings the subsets back to rest afterwards.
import { isDeepStrictEqual } from 'node:util'
import { resolve } from 'node:path'
import type { CreatedCanary } from '../canary/controller/context.ts'
import { waitForFreeLease } from '../canary/ownership/lease.ts'
import { readWeight } from '../canary/traffic/router.ts'
import { raiseMinReplicas, restoreMinReplicas } from '../canary/workload/min-replicas.ts'
import type { Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { canariesOf, canaryKey, canaryKeyOf, releaseKeysOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import { currentImage } from '../config/values/images.ts'
import { createCanary, waitForPods } from '../release/canary.ts'
import { createdCanary } from '../release/adoption.ts'
import { exposureFaults } from '../release/exposure.ts'
import type { Commit } from '../release/commit.ts'
import { gitopsState } from '../release/gitops-state.ts'
import { currentPlan, withRelease, withServices, withStableSubset } from '../release/config.ts'
import { splitOf } from '../policies/routes.ts'
import { planRelease, type Release } from '../release/plan.ts'
import { protectionOf } from '../release/protection.ts'
import { NotReleasable } from '../release/workload.ts'
import { writeText } from '../report/write.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { plural } from '../runtime/plural.ts'
import { waitForRollout } from '../verify/rollout.ts'
import { stringify } from '../yaml/stringify.ts'
import { warn, type StageContext } from './context.ts'
import { requireNamespace } from './preflight.ts'
import { autoscalerDeps, finishRelease, removeOldCanary } from './release-leftovers.ts'

/**
 * The context with the releases of this run, and the config with what the cluster says about them. Only reads.
 * @throws ConfigError with one sentence for each release that cannot be made
 */
export async function planReleases(context: StageContext): Promise<StageContext> {
  const { cluster, config, host, stages } = context
  const hasReleases = canariesOf(config).some((plan) => releaseKeysOf(plan).length > 0)
  if (!hasReleases || !(await requireNamespace(cluster, config, stages))) return context
  if (!stages.some((stage) => releasing.includes(stage))) return { ...context, config: await asRouted(context) }
  const faults: string[] = []
  const releases: Release[] = []
  for (const [i, plan] of canariesOf(config).entries()) {
    const [source] = releaseKeysOf(plan)
    if (source === undefined) continue
    const key = canaryKey(config, i)
    try {
      const release = await planRelease(cluster, config.namespace, key, plan)
      if (!release) continue
      releases.push(release)
      host.info(describeRelease(release))
      if (release.todo !== 'promote') continue
      await checkProtection(context, release)
      await warnOfBlockedGit(context, release)
    } catch (problem) {
      if (!(problem instanceof NotReleasable)) throw problem
      faults.push(...problem.message.split('\n').map((line) => `${key}.${source}: ${line}`))
    }
  }
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  const isActive = (release: Release) => isUnderWay(release, stages)
  return { ...context, config: withReleases(config, releases, isActive), releases }
}

const releasing: readonly StageName[] = ['plan', 'policies', 'promote']

/** The config with the versions between which the routes split now: what a release needs does not matter to a rollback. */
async function asRouted({ cluster, config }: StageContext): Promise<Config> {
  let result = config
  for (const plan of canariesOf(config)) {
    if (releaseKeysOf(plan).length === 0) continue
    const between = withServices(result, plan)
    const isSplit = await readWeight(cluster, splitOf(between, currentPlan(between, plan))).then(
      () => true,
      () => false,
    )
    if (isSplit) result = between
  }
  return result
}

/** Pods of a canary are there, or will be. */
function isUnderWay({ todo, left }: Release, stages: readonly StageName[]): boolean {
  const isLeft = left !== undefined && left.deployment.spec.replicas !== 0
  return isLeft || (todo !== 'idle' && stages.includes('promote'))
}

function withReleases(config: Config, releases: readonly Release[], isActive: (release: Release) => boolean): Config {
  return releases.reduce((each, release) => withRelease(each, release, isActive(release)), config)
}

async function checkProtection(context: StageContext, release: Release): Promise<void> {
  const { faults: unprotected, unseen } = await protectionOf(context.cluster, release)
  const faults = [...unprotected, ...(await exposureFaults(context.cluster, context.config, release))]
  if (faults.length > 0) throw new NotReleasable(faults.join('\n'))
  if (unseen.length === 0) return
  context.host.info(
    `this run may not read ${unseen.join(', ')}: what selects pods of ${release.plan.service} there by a label that the ` +
      'canary lacks does not cover the canary',
  )
}

/** Before the first write: a commit that cannot arrive would leave all traffic on the canary. */
async function warnOfBlockedGit(context: StageContext, { plan, stable }: Release): Promise<void> {
  if (plan.after !== 'gitops') return
  const state = await gitopsState(context.cluster, stable)
  if (state?.isFault) warn(context, [`the release of ${plan.service} could not arrive from Git now: ${state.text}`])
}

function describeRelease({ plan, stable, distinction, todo, left }: Release): string {
  const title = `Deployment/${stable.metadata.name}`
  if (todo === 'idle') return `${plan.service}: ${title} runs this release already`
  const how =
    distinction.by === 'subset'
      ? `the label ${distinction.key} tells it from the canary`
      : 'the canary gets a Service of its own'
  const state = left ? `, and an earlier run left Deployment/${left.deployment.metadata.name}` : ''
  return `${plan.service}: releases to ${title}; ${how}${state}`
}

/** What the promotions need to know of the releases. */
export type PreparedReleases = {
  /** Removes the canaries that this run created, after an error outside their promotions. Never rejects. */
  abandon: () => Promise<void>
  created: (service: string) => CreatedCanary | undefined
  whyIdle: (service: string) => string | undefined
}

/** Creates the canaries, and settles what earlier runs left. Once the run of a fleet has failed, it creates none. */
export async function prepareReleases(context: StageContext): Promise<PreparedReleases> {
  const canaries = new Map<string, CreatedCanary>()
  const idle = new Map<string, string>()
  const unstarted: Unstarted[] = []
  const hasFailed = hasFleetFailed(context)
  const abandon = () => removeUnstarted(context, unstarted)
  for (const planned of context.releases ?? []) {
    const { service } = planned.plan
    try {
      if (hasFailed && planned.left?.isSame !== true) {
        idle.set(service, 'the fleet has failed')
        continue
      }
      const release = await asItIsNow(context, planned)
      if (release.todo === 'idle') idle.set(service, await leave(context, release))
      else if (release.todo === 'finish') idle.set(service, await finishRelease(context, release))
      else {
        const canary = await create(context, release)
        canaries.set(service, canary)
        if (release.left?.isSame !== true) unstarted.push({ plan: release.plan, canary })
      }
    } catch (problem) {
      await abandon()
      throw problem
    }
  }
  return { created: (service) => canaries.get(service), whyIdle: (service) => idle.get(service), abandon }
}

/** The run of the fleet has failed: what an earlier run has left only returns its traffic. */
function hasFleetFailed({ config, fleetFailure, others }: StageContext): boolean {
  return fleetFailure !== undefined || (config.together && others?.failure() !== undefined)
}

/**
 * Minutes may have passed since the plan, in which another run has released something else.
 * @throws Error if the routes of this run do not fit any more
 */
async function asItIsNow(context: StageContext, planned: Release): Promise<Release> {
  const { cluster, config } = context
  const { plan, left, todo, distinction, stable } = planned
  const continues = todo === 'promote' && left?.isSame === true && left.deployment.spec.replicas !== 0
  if (todo !== 'idle' && !continues) await waitForOthers(context, plan)
  const now = await planRelease(cluster, config.namespace, canaryKeyOf(config, plan.service), plan)
  const isOpen = todo === 'idle' && now?.todo !== 'idle'
  if (now && !isOpen && isDeepStrictEqual(now.distinction, distinction)) return now
  throw new Error(
    `Deployment/${stable.metadata.name} was changed since this run planned the release of ${plan.service}; run again, ` +
      'and the release starts from the new state',
  )
}

/** @throws Error with the cause if not all pods of stable run the release, or if a cancel leaves its autoscaler raised. */
async function leave(context: StageContext, { plan, stable, left }: Release): Promise<string> {
  const { cluster, config, host } = context
  if (plan.image !== currentImage) await waitForRollout(cluster, stable, plan.progressDeadline, host.signal)
  // Somebody has removed the canary of a run that died.
  if (!left) {
    const deps = autoscalerDeps(context)
    const { unrestored } = await restoreMinReplicas(cluster, config.namespace, plan.service, deps)
    if (unrestored !== undefined) throw new Error(unrestored)
  }
  return `Deployment/${stable.metadata.name} runs this release already`
}

type Unstarted = { plan: CanaryConfig; canary: CreatedCanary }

/** After an error outside the promotions: removes each canary that this run created, unless somebody promotes it. */
async function removeUnstarted(context: StageContext, unstarted: readonly Unstarted[]): Promise<void> {
  const { cluster, config, host } = context
  if (host.signal.aborted) return
  for (const { plan, canary } of unstarted) {
    try {
      if ((await readWeight(cluster, splitOf(config, currentPlan(config, plan)))) > 0) continue
      await waitForOthers(context, { ...plan, leaseWaitTimeout: 0 })
      host.info(await canary.cleanUp())
    } catch (problem) {
      host.info(`the canary of ${plan.service} stays for the next run: ${messageOf(problem)}`)
    }
  }
}

async function create(context: StageContext, release: Release): Promise<CreatedCanary> {
  const { cluster, host } = context
  const { plan, left } = release
  if (left?.isSame === false) await removeOldCanary(context, release, left.deployment)
  const deployment = await createCanary(cluster, release)
  const { replicas } = deployment.spec
  host.info(
    left?.isSame === true
      ? `Deployment/${deployment.metadata.name}: an earlier run left it with this release, which continues`
      : `Deployment/${deployment.metadata.name}: created with ${plural(replicas ?? 1, 'replica')}`,
  )
  const created = createdCanary(cluster, release, deployment, {
    ...autoscalerDeps(context),
    publish: (commit) => publishCommit(context, commit),
  })
  try {
    await keepStableLarge(context, release)
    if (!hasFleetFailed(context)) await waitForPods(cluster, deployment, plan.progressDeadline, host.signal)
  } catch (problem) {
    // A canary that an earlier run left with this release may have traffic.
    if (left?.isSame !== true && !host.signal.aborted) host.info(await created.cleanUp())
    throw problem
  }
  return created
}

/** A rollback sends all traffic to stable at once. An autoscaler that comes from Git is raised after the commit only. */
async function keepStableLarge(context: StageContext, { plan, stable }: Release): Promise<void> {
  if (plan.after === 'gitops') return
  await raiseMinReplicas(context.cluster, plan.service, stable, stable.spec.replicas ?? 1, autoscalerDeps(context))
}

/** At once, so that a pipeline beside this run can commit while it waits. */
function publishCommit({ host, recorder, redactor }: StageContext, { service, images, patch }: Commit): void {
  const file = resolve(host.outputFolder, `mesh-canary-${service}.patch.yaml`)
  const fault = writeText(file, redactor.redact(stringify(patch)))
  recorder.record({ commits: [{ service, images, ...(fault === undefined ? { patch: file } : {}) }] })
  host.info(`commit for ${service}: ${images.join(' ')}${fault === undefined ? `; as a patch: ${file}` : ''}`)
  if (fault !== undefined) warn({ host, recorder }, [`the patch to commit for ${service}: ${fault}`])
}

/** A run that is alive may promote the canary that this one is about to write. */
async function waitForOthers({ cluster, config, host }: StageContext, plan: CanaryConfig): Promise<void> {
  const { signal, info: note } = host
  const { service, leaseWaitTimeout: waitMs } = plan
  await waitForFreeLease(cluster, { namespace: config.namespace, service, waitMs, signal, clock: systemClock, note })
}

/**
 * The config for after the promotions: where no pod of a canary is left, stable's subset selects all pods again. Undefined
 * if that changes nothing.
 */
export async function configAtRest({
  cluster,
  config,
  stages,
  releases = [],
}: StageContext): Promise<Config | undefined> {
  const ended: Release[] = []
  for (const release of releases.filter((each) => isUnderWay(each, stages))) {
    if (release.distinction.by === 'service') continue
    const { name, namespace } = release.canary.metadata
    const canary = await cluster.get<Workload>('Deployment', namespace, name)
    if (!canary || canary.spec.replicas === 0) ended.push(release)
  }
  if (ended.length === 0) return undefined
  return ended.reduce((each, { plan }) => withStableSubset(each, plan, {}), config)
}
