// Starts to follow the rollout of an engine: sets the images of this run, or takes what was applied before.
import { currentObjects, noteFor, type PromotionDeps, type WatchedObjects } from '../canary/controller/context.ts'
import { defaultRetryPolicies } from '../canary/controller/start.ts'
import { counterReaderFor, createObserver, type Observer } from '../canary/metrics/observer.ts'
import { retryPolicies, type RetryPolicy } from '../canary/metrics/retries.ts'
import type { ActivePromotion, Idle } from '../canary/active-promotion.ts'
import { initialState } from '../canary/state/start.ts'
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import { urgent, type Cluster } from '../cluster/client.ts'
import { titleOf } from '../cluster/objects.ts'
import { canaryKeyOf } from '../config/names.ts'
import type { CanaryConfig, Config } from '../config/schema.ts'
import type { EngineType } from '../config/schema/engine.ts'
import { hostOf } from '../policies/compile/names.ts'
import type { FollowContext } from './context.ts'
import { engineOf, weightIn, type Live } from './engine.ts'
import { followEvents } from './event-log.ts'
import { findFollowed, type Followed } from './find.ts'
import { FollowedRun } from './followed-run.ts'
import { setImages, type ImageChange } from './images.ts'
import { isUnderWay, type RolloutProgress } from './progress.ts'

/** `onChange`: called with the object that got images. @throws NotFollowable, ApiError */
export async function startFollowing(
  rateLimited: Cluster,
  config: Config,
  plan: CanaryConfig,
  watched: WatchedObjects,
  shared: PromotionDeps,
  onChange: (change: ImageChange) => void,
): Promise<ActivePromotion | Idle> {
  const { namespace } = config
  const cluster = urgent(rateLimited)
  const note = noteFor(config, plan, shared.note)
  const deps = { ...shared, note }
  if (plan.engine.generate) await waitForFirst(cluster, namespace, plan, deps)
  const followed = await findObserved(cluster, namespace, plan, { ...deps, watched })
  const { engine, live, change, name } = followed
  const title = titleOf({ ...live.object, kind: engine.kind })
  const progress = engine.progress(live, weightIn(currentObjects(watched.routes), followed.split))
  if (!change && progress.phase === 'promoted')
    return {
      idle: `the ${title} has promoted its revision ${progress.revision} already${engine.unseen(live.object)}`,
      plan: followed.plan,
      weight: 100,
    }
  // What fails here does so before the image is set.
  const observe = await observing(cluster, config, followed, watched, deps)
  const current = change ? await setImages(cluster, namespace, change, live) : live
  if (change) {
    onChange(change)
    note(`${change.kind} ${namespace}/${change.name}: ${change.images.join(', ')}`)
  } else if (isUnderWay(progress)) note(`follows the ${title}, which ${engine.title} rolls out already`)
  else note(`waits whether ${engine.title} begins with the ${title} (${progress.where})`)
  if (isLeft(progress) && (await isServed(cluster, namespace, followed, current, deps)))
    return {
      idle: `the ${title} asks for the version that serves, so there is nothing to roll out${engine.unseen(live.object)}`,
      plan: followed.plan,
      weight: 100,
    }
  const context: FollowContext = {
    cluster,
    config,
    // A generated Canary calls its webhooks itself.
    plan: { ...followed.plan, steps: engine.steps(live.object), webhooks: {} },
    split: followed.split,
    engine,
    type: plan.engine.type as EngineType,
    name,
    title,
    noticeMs: plan.progressDeadline + engine.looksEvery(live.object),
    looksEveryMs: engine.looksEvery(live.object),
    uid: live.object.metadata.uid,
    // Before it begins, Flagger may have noted the new revision already.
    from: progress.isBefore || (isLeft(progress) && !engine.observes) ? '' : progress.revision,
    wroteNothing: change === undefined,
    isBegun: change === undefined && isUnderWay(progress),
    template: engine.template(current),
    resumeAt: resumeAt(followed, progress, note),
    watched,
    deps,
    events: await followEvents(cluster, namespace, { kind: engine.kind, name, uid: live.object.metadata.uid }),
    observe,
  }
  const state = initialState(context.plan, 0, deps.clock.now())
  return new FollowedRun(context, state, engine.selectors(live))
}

/** Argo Rollouts sees a change within a moment, and it may be none of the pod template. */
async function findObserved(
  cluster: Cluster,
  namespace: string,
  plan: CanaryConfig,
  { clock, signal, watched }: Pick<PromotionDeps, 'clock' | 'signal'> & { watched: WatchedObjects },
): Promise<Followed> {
  for (let i = 0; ; i++) {
    const followed = await findFollowed(cluster, namespace, plan)
    const { engine, live, change, split } = followed
    const { phase } = engine.progress(live, weightIn(currentObjects(watched.routes), split))
    if (change || phase !== 'waiting' || !engine.observes || i === observedTries) return followed
    await clock.sleep(500, signal)
  }
}

const observedTries = 20

/** The last rollout has ended without a promotion. */
const isLeft = ({ phase }: RolloutProgress) => phase === 'failed' || phase === 'stuck'

/**
 * After a rollout that was left, the objects may ask for what serves, and then the engine begins with nothing. Never rejects:
 * the image may be set already, and only a run that follows it can abort it.
 */
async function isServed(
  cluster: Cluster,
  namespace: string,
  { engine, name }: Followed,
  changed: Live,
  { clock, signal }: Pick<PromotionDeps, 'clock' | 'signal'>,
): Promise<boolean> {
  let live: Live | undefined = changed
  for (let i = 0; live && i < observedTries; i++) {
    const found = engine.isServed(live)
    if (found !== undefined) return found
    await clock.sleep(500, signal).catch(() => undefined)
    if (signal.aborted) return false
    const last: Live = live
    live = await engine.read(cluster, namespace, name).catch(() => last)
  }
  return false
}

/** Objects that this run has generated: the controller has to take the Deployment over before it can roll anything out. */
async function waitForFirst(
  cluster: Cluster,
  namespace: string,
  { engine: { type }, service, progressDeadline }: CanaryConfig,
  { clock, note, signal }: PromotionDeps,
): Promise<void> {
  const engine = engineOf(type as EngineType)
  const deadline = clock.now() + progressDeadline
  let isTold = false
  while (clock.now() < deadline) {
    const live = await engine.read(cluster, namespace, service)
    if (!live) return
    const { phase, revision } = engine.progress(live, 0)
    if (revision !== '' && phase !== 'waiting') return
    if (!isTold) note(`waits until ${engine.title} has taken over the Deployment of ${service}`)
    isTold = true
    await clock.sleep(500, signal)
  }
}

/** The pause at which this run finds the rollout, if the config approves it. */
function resumeAt(
  { plan, engine }: Followed,
  { phase, where }: RolloutProgress,
  note: (line: string) => void,
): string | undefined {
  if (!plan.engine.resume || !engine.resume) return undefined
  if (phase === 'approval') return where
  note('`engine.resume`: the rollout waits for no approval, so this run ends no pause')
  return undefined
}

async function observing(
  cluster: Cluster,
  config: Config,
  { plan, split }: Followed,
  watched: WatchedObjects,
  { note, warn: show, readSidecars }: Pick<PromotionDeps, 'note' | 'warn' | 'readSidecars'>,
): Promise<(selectors: VersionSelectors) => Promise<Observer>> {
  const defaults = await defaultRetryPolicies(cluster, note)
  const retries = (): RetryPolicy[] => retryPolicies(currentObjects(watched.routes), split, defaults)
  const warn = (line: string) => show(`${canaryKeyOf(config, plan.service)}: ${line}`)
  const service = { namespace: split.namespace, host: hostOf(split.service, split.namespace), plan, retries, warn }
  return (selectors) => {
    const observed = { ...service, ...selectors }
    const readCounters = counterReaderFor(cluster, observed, readSidecars)
    return createObserver(cluster, watched.pods, observed, note, readCounters)
  }
}
