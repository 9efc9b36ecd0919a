// What this program knows of each engine: how to read its object, to abort its rollout, and to end a pause.
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import { setWeight } from '../canary/traffic/router.ts'
import type { Cluster, PatchOperation, Right } from '../cluster/client.ts'
import { type Kind, type KubeObject, type Workload } from '../cluster/objects.ts'
import { rightOn } from '../cluster/rights.ts'
import { engineTitles, type EngineType } from '../config/schema/engine.ts'
import type { Version } from '../config/schema/canary.ts'
import { canaryWeightOf, splitsIn, type OwnRoutes, type Routed, type Split } from '../policies/routes.ts'
import {
  rolloutFaults,
  rolloutProgress,
  rolloutRoutes,
  rolloutSelectors,
  rolloutSteps,
  rolloutVersions,
} from './argo-rollouts.ts'
import {
  abortDelay,
  canaryFaults,
  canaryProgress,
  canaryRoutes,
  canaryServices,
  canarySteps,
  canaryVersions,
  canFail,
  intervalOf,
  runsSameTemplate,
  templateText,
  thresholdOf,
} from './flagger.ts'
import type { FlaggerCanary, Rollout } from './objects.ts'
import type { RolloutProgress } from './progress.ts'

/** The engine's object and the Deployments that it names, as they are now. `primary`: of Flagger. */
export type Live = { object: KubeObject; workload?: Workload; primary?: Workload }

export type Engine = {
  title: (typeof engineTitles)[EngineType]
  kind: Kind & ('Rollout' | 'Canary')
  /** Its status shows whether it has acted on the present pod template. */
  observes: boolean
  /** It looks at the cluster at least so often, in milliseconds. */
  looksEvery: (object: KubeObject) => number
  /** The weights of its steps, rising, in per cent. */
  steps: (object: KubeObject) => number[]
  /** What the state of the object does not show, for one that has promoted everything; continues a sentence. */
  unseen: (object: KubeObject) => string
  /** What may keep it from following an abort for a while; continues a sentence. */
  delaysAbort: (object: KubeObject) => string
  /** How to start a rollout that was aborted again. */
  retry: string
  /** Labels of the controller's Deployment, as its own installations give them. */
  controllerLabels: string[]
  /** @returns undefined if the object does not exist. */
  read: (cluster: Cluster, namespace: string, name: string) => Promise<Live | undefined>
  /** `weight`: the canary's in the routes, in per cent. */
  progress: (live: Live, weight: number) => RolloutProgress
  /** True if stable runs the pod template that the objects ask for; undefined while the engine has not looked at that. */
  isServed: (live: Live) => boolean | undefined
  versions: (object: KubeObject) => { stable: Version; canary: Version }
  /** The routes that it writes. */
  routes: (object: KubeObject) => OwnRoutes[]
  /** The pod template that the objects ask for now, as text to compare; undefined if it does not exist. */
  template: (live: Live) => string | undefined
  selectors: (live: Live) => VersionSelectors
  /** Why it cannot be followed; each continues the object's title. */
  faults: (object: KubeObject) => string[]
  /** True if somebody has paused the whole object. */
  isPaused: (object: KubeObject) => boolean
  /** True if the engine does not look at it at all, so that it follows no abort either. */
  isSuspended: (object: KubeObject) => boolean
  /** The object whose pod template says what is rolled out. */
  target: (object: KubeObject) => { kind: Kind & ('Rollout' | 'Deployment'); name: string }
  /** Which rights an abort needs. */
  abortRights: (object: KubeObject) => Right[]
  /**
   * Returns the traffic to stable if the engine still rolls this revision out. Safe to repeat. False if there is nothing
   * that could be aborted now. @throws ApiError
   */
  abort: (cluster: Cluster, live: Live, revision: string, split: Split) => Promise<boolean>
  /** Ends the pause without a duration at which it was read. @throws ApiError also if it is at another one by now */
  resume?: (cluster: Cluster, live: Live) => Promise<void>
}

const status = ({ metadata }: KubeObject) => `${metadata.name}/status`

const argoRollouts: Engine = {
  title: engineTitles['argo-rollouts'],
  kind: 'Rollout',
  observes: true,
  looksEvery: () => 0,
  steps: (object) => rolloutSteps(object as Rollout),
  unseen: () => '',
  delaysAbort: () => '',
  retry: 'change the image, or retry it (`kubectl argo rollouts retry rollout`)',
  controllerLabels: ['app.kubernetes.io/name=argo-rollouts'],
  async read(cluster, namespace, name) {
    const object = await cluster.get<Rollout>('Rollout', namespace, name)
    const { workloadRef } = object?.spec ?? {}
    const workloadName = workloadRef?.kind === 'Deployment' ? workloadRef.name : undefined
    const workload =
      workloadName === undefined ? undefined : await cluster.get<Workload>('Deployment', namespace, workloadName)
    return object && { object, ...(workload ? { workload } : {}) }
  },
  progress: ({ object, workload }, weight) => rolloutProgress(object as Rollout, weight, workload),
  isServed: ({ object, workload }) => {
    const { phase } = rolloutProgress(object as Rollout, 0, workload)
    return phase === 'waiting' ? undefined : phase === 'promoted'
  },
  versions: (object) => rolloutVersions(object as Rollout),
  routes: (object) => rolloutRoutes(object as Rollout),
  template: ({ object, workload }) =>
    workload || (object as Rollout).spec.template ? templateText(workload ?? (object as Workload)) : undefined,
  selectors: ({ object, workload }) => rolloutSelectors(object as Rollout, workload),
  faults: (object) => rolloutFaults(object as Rollout),
  isPaused: (object) => (object as Rollout).spec.paused === true,
  isSuspended: () => false,
  target: (object) => {
    const { workloadRef } = (object as Rollout).spec
    return workloadRef
      ? { kind: 'Deployment', name: workloadRef.name }
      : { kind: 'Rollout', name: object.metadata.name }
  },
  abortRights: ({ metadata: { name } }) => [rightOn('Rollout', 'patch', { subresource: 'status', name })],
  async abort(cluster, { object }, revision) {
    const { stableRS } = (object as Rollout).status ?? {}
    await cluster.patch('Rollout', object.metadata.namespace, status(object), [
      { op: 'test', path: '/status/currentPodHash', value: revision },
      // It has promoted the revision otherwise.
      ...(stableRS === undefined ? [] : [{ op: 'test' as const, path: '/status/stableRS', value: stableRS }]),
      { op: 'add', path: '/status/abort', value: true },
    ])
    return true
  },
  async resume(cluster, { object }) {
    const { currentPodHash, currentStepIndex, pauseConditions } = (object as Rollout).status ?? {}
    await cluster.patch('Rollout', object.metadata.namespace, status(object), [
      { op: 'test', path: '/status/currentPodHash', value: currentPodHash },
      ...(currentStepIndex === undefined
        ? []
        : [{ op: 'test' as const, path: '/status/currentStepIndex', value: currentStepIndex }]),
      { op: 'test', path: '/status/pauseConditions', value: pauseConditions },
      { op: 'remove', path: '/status/pauseConditions' },
    ])
  },
}

/** Between reading and writing the routes, Flagger has ended this rollout, or begun another one. */
class NotJudged extends Error {}

const flagger: Engine = {
  title: engineTitles.flagger,
  kind: 'Canary',
  observes: false,
  looksEvery: (object) => intervalOf(object as FlaggerCanary),
  steps: (object) => canarySteps(object as FlaggerCanary),
  unseen: (object) =>
    Object.keys((object as FlaggerCanary).status?.trackedConfigs ?? {}).length > 0
      ? '; whether a ConfigMap or Secret that Flagger tracks has changed since, this run does not see'
      : '',
  delaysAbort: (object) => abortDelay(object as FlaggerCanary),
  retry: 'change the image',
  controllerLabels: ['app.kubernetes.io/name=flagger', 'app=flagger'],
  async read(cluster, namespace, name) {
    const object = await cluster.get<FlaggerCanary>('Canary', namespace, name)
    if (!object) return undefined
    const target = object.spec.targetRef.name
    const [workload, primary] = await Promise.all(
      [target, `${target}-primary`].map((each) => cluster.get<Workload>('Deployment', namespace, each)),
    )
    return { object, ...(workload ? { workload } : {}), ...(primary ? { primary } : {}) }
  },
  progress: (live, weight) => {
    const found = canaryProgress(live.object as FlaggerCanary, weight)
    const isAhead = live.workload && !flagger.isServed(live)
    // It looks at its target only once in an interval.
    return found.phase === 'promoted' && isAhead ? { ...found, phase: 'waiting', weight } : found
  },
  isServed: ({ workload, primary }) => Boolean(workload && primary && runsSameTemplate(workload, primary)),
  versions: (object) => canaryVersions(object as FlaggerCanary),
  routes: (object) => [canaryRoutes(object as FlaggerCanary)],
  template: ({ workload }) => workload && templateText(workload),
  selectors: ({ workload, primary }) => ({
    stable: primary?.spec.selector.matchLabels ?? {},
    canary: workload?.spec.selector.matchLabels ?? {},
  }),
  faults: (object) => canaryFaults(object as FlaggerCanary),
  isPaused: (object) => (object as FlaggerCanary).spec.suspend === true,
  isSuspended: (object) => (object as FlaggerCanary).spec.suspend === true,
  target: (object) => ({ kind: 'Deployment', name: (object as FlaggerCanary).spec.targetRef.name }),
  abortRights: (object) => [
    rightOn('Canary', 'patch', { subresource: 'status', name: object.metadata.name }),
    rightOn('VirtualService', 'patch', { name: canaryServices(object as FlaggerCanary).apex }),
  ],
  async abort(cluster, { object }, revision, split) {
    const canary = object as FlaggerCanary
    const { namespace, name } = canary.metadata
    if (!canFail(canary)) return false
    const failed: PatchOperation[] = [
      { op: 'test', path: '/status/lastAppliedSpec', value: revision },
      { op: 'test', path: '/status/phase', value: canary.status?.phase },
      { op: 'add', path: '/status/failedChecks', value: thresholdOf(canary) },
    ]
    await cluster.patch('Canary', namespace, status(canary), failed)
    // Flagger rolls back at its next look, which may be a minute away, and keeps the weights that it finds until then.
    const isStill = (now: FlaggerCanary | undefined) => now?.status?.lastAppliedSpec === revision && canFail(now)
    const fence = async () => {
      if (!isStill(await cluster.get<FlaggerCanary>('Canary', namespace, name))) throw new NotJudged()
    }
    await setWeight(cluster, split, 0, fence).catch((error: unknown) => {
      if (!(error instanceof NotJudged)) throw error
    })
    return true
  },
}

const engines: Record<EngineType, Engine> = { 'argo-rollouts': argoRollouts, flagger }

export function engineOf(type: EngineType): Engine {
  return engines[type]
}

/** The canary's weight in the route that gives it most, in per cent; 0 without such a route. */
export function weightIn(routes: readonly Routed[], split: Split): number {
  return Math.max(0, ...routes.flatMap((object) => weightsIn(object, split)))
}

/** Of sticky routes, those before the last one count only where the last one gives the canary nothing: not all has returned. */
function weightsIn(object: Routed, split: Split): number[] {
  const weights = splitsIn(object, split).flatMap((each) => canaryWeightOf(each) ?? [])
  const isSticky = split.own?.some((own) => own.isSticky && own.name === object.metadata.name)
  const last = weights.at(-1) ?? 0
  return isSticky && last > 0 ? [last] : weights
}

/** Why the engine's objects cannot be in the cluster, and what to do. */
export function missingCrds({ kind, title }: Pick<Engine, 'kind' | 'title'>): string {
  const objects = kind === 'Rollout' ? 'Rollouts' : 'Canaries'
  return `the cluster has no ${objects} of ${title}: install ${title} with its CRDs, or set \`engine: builtin\``
}
