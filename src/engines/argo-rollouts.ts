// Reads a Rollout of Argo Rollouts: how far it is, which pods it runs, and which routes it writes. Pure.
import type { Workload } from '../cluster/objects.ts'
import type { Version } from '../config/schema/canary.ts'
import type { OwnRoutes } from '../policies/routes.ts'
import type { VersionSelectors } from '../canary/workload/selectors.ts'
import type { Phase, RolloutProgress } from './progress.ts'
import type { IstioRoute, ManagedRoute, Rollout, RolloutStep } from './objects.ts'

/** On each pod of a Rollout: the hash of its template. */
export const podHashLabel = 'rollouts-pod-template-hash'

/** `weight`: the canary's in the routes, in per cent. `workload`: the Deployment in `workloadRef`, if the Rollout has one. */
export function rolloutProgress(rollout: Rollout, weight: number, workload?: Workload): RolloutProgress {
  const { currentPodHash = '', message = '' } = rollout.status ?? {}
  const phase = isObserved(rollout, workload) ? phaseOf(rollout) : 'waiting'
  return {
    phase,
    revision: currentPodHash,
    weight: phase === 'promoted' ? 100 : weight,
    ...(phase === 'promoted' || weight > 0 ? {} : besideWeights(rollout)),
    where: describeStep(rollout),
    reason: phase === 'failed' || phase === 'stuck' ? message || analysisMessage(rollout) : message,
  }
}

/** The controller acts on the template that the objects have now. */
function isObserved({ metadata, spec, status = {} }: Rollout, workload: Workload | undefined): boolean {
  if (Number(status.observedGeneration) !== metadata.generation) return false
  if (spec.workloadRef === undefined || workload === undefined) return status.currentPodHash !== undefined
  return Number(status.workloadObservedGeneration) === workload.metadata.generation
}

function phaseOf({ spec, status = {} }: Rollout): Phase {
  const { abort, phase, pauseConditions = [], controllerPause = false, stableRS, currentPodHash } = status
  // An abort that comes after the promotion changes nothing any more.
  if (stableRS !== undefined && stableRS === currentPodHash) return 'promoted'
  if (abort === true) return 'failed'
  // Without an abort it keeps its traffic, and goes on as soon as it can.
  if (phase === 'Degraded') return 'stuck'
  if (spec.paused === true) return 'stopped'
  if (pauseConditions.length === 0 || !controllerPause) return 'moving'
  if (pauseConditions.some(({ reason }) => reason !== 'CanaryPauseStep')) return 'stopped'
  const step = spec.strategy?.canary?.steps?.[status.currentStepIndex ?? 0]
  return isForApproval(step) ? 'approval' : 'moving'
}

/** The requests that the canary gets at weight 0: by a route for a header, or as copies. */
function besideWeights({ spec, status }: Rollout): Pick<RolloutProgress, 'isChosen' | 'copies'> {
  const done = (spec.strategy?.canary?.steps ?? []).slice(0, (status?.currentStepIndex ?? 0) + 1)
  const isLast = (key: 'setHeaderRoute' | 'setMirrorRoute', route: ManagedRoute) =>
    done.findLast((step) => step[key]?.name === route.name)?.[key] === route
  // A step without a match removes the route.
  const active = (key: 'setHeaderRoute' | 'setMirrorRoute') =>
    done.flatMap((step) => step[key] ?? []).filter((route) => route.match !== undefined && isLast(key, route))
  const [mirror] = active('setMirrorRoute')
  if (active('setHeaderRoute').length > 0) return { isChosen: true }
  return mirror ? { copies: mirror.percentage ?? 100 } : {}
}

function isForApproval(step: RolloutStep | undefined): boolean {
  return step?.pause !== undefined && (step.pause.duration ?? undefined) === undefined
}

function describeStep({ spec, status }: Rollout): string {
  const steps = spec.strategy?.canary?.steps ?? []
  const index = status?.currentStepIndex ?? 0
  const step = steps[index]
  if (step === undefined) return steps.length === 0 ? 'without steps' : `after ${steps.length} steps`
  return `step ${index + 1} of ${steps.length}, ${describeAction(step)}`
}

function describeAction(step: RolloutStep): string {
  if (step.setWeight !== undefined) return `setWeight: ${step.setWeight}`
  if (step.pause !== undefined) return isForApproval(step) ? 'pause' : `pause: ${step.pause.duration}`
  return Object.keys(step)[0] ?? 'empty'
}

function analysisMessage({ status }: Rollout): string {
  const { currentStepAnalysisRunStatus: step, currentBackgroundAnalysisRunStatus: background } = status?.canary ?? {}
  const failed = [step, background].find((each) => each?.status === 'Failed' || each?.status === 'Error')
  return failed ? `AnalysisRun ${failed.name ?? ''}: ${failed.message ?? failed.status}` : ''
}

/** The VirtualServices whose weights the controller writes. */
export function virtualServicesOf({ spec }: Rollout): IstioRoute[] {
  const { virtualService, virtualServices = [] } = spec.strategy?.canary?.trafficRouting?.istio ?? {}
  return virtualService ? [virtualService] : virtualServices
}

/**
 * The name of an object that the Rollout names as `name` or `name.namespace`, if it is in this namespace; Argo Rollouts
 * takes what follows the last dot for the namespace.
 */
export function nameIn(namespace: string, reference: string): string | undefined {
  const { name, place = namespace } = placeOf(reference)
  return place === namespace ? name : undefined
}

function placeOf(reference: string): { name: string; place?: string } {
  const parts = reference.replace(/\.cluster\.local$/, '').split('.')
  const place = parts.length > 1 ? parts.pop() : undefined
  return { name: parts.join('.'), ...(place === undefined ? {} : { place }) }
}

/** The routes that it writes, of the VirtualServices in its own namespace. */
export function rolloutRoutes(rollout: Rollout): OwnRoutes[] {
  const { namespace = '' } = rollout.metadata
  return virtualServicesOf(rollout).flatMap(({ name, routes = [] }) => {
    const own = nameIn(namespace, name)
    return own === undefined ? [] : [{ name: own, ...(routes.length > 0 ? { routes } : {}) }]
  })
}

/** The versions as the routes name them: subsets of a DestinationRule, or two Services. */
export function rolloutVersions({ spec }: Rollout): { stable: Version; canary: Version } {
  const { stableService = '', canaryService = '', trafficRouting } = spec.strategy?.canary ?? {}
  const rule = trafficRouting?.istio?.destinationRule
  return rule
    ? {
        stable: { by: 'subset', name: rule.stableSubsetName ?? 'stable' },
        canary: { by: 'subset', name: rule.canarySubsetName ?? 'canary' },
      }
    : { stable: { by: 'service', name: stableService }, canary: { by: 'service', name: canaryService } }
}

/** The pods of the revision that it rolls out, and of the one that is stable now. */
export function rolloutSelectors({ spec, status = {} }: Rollout, workload?: Workload): VersionSelectors {
  const own = (spec.selector ?? workload?.spec.selector)?.matchLabels ?? {}
  const { stableRS = '', currentPodHash = '' } = status
  return {
    stable: { ...own, [podHashLabel]: stableRS },
    canary: { ...own, [podHashLabel]: currentPodHash },
  }
}

/** Why the run cannot follow it; one sentence each, which continues the name of the object. */
export function rolloutFaults(rollout: Rollout): string[] {
  const { spec, status = {} } = rollout
  const { kind } = spec.workloadRef ?? {}
  if (kind !== undefined && kind !== 'Deployment')
    return [
      `takes its pods from a ${kind} (\`spec.workloadRef\`), and this program follows Deployments; name a Deployment`,
    ]
  if (spec.replicas === 0) return ['is scaled to 0, so no pod and no request would show how the canary is; scale it up']
  const { canary, blueGreen } = spec.strategy ?? {}
  if (!canary) {
    const found = blueGreen ? 'has the strategy blueGreen' : 'has no strategy'
    return [`${found}, which moves no share of the traffic; give it the strategy canary, with trafficRouting.istio`]
  }
  const { istio, managedRoutes, maxTrafficWeight, ...others } = canary.trafficRouting ?? {}
  if (!istio) {
    const [other] = Object.keys(others)
    return other === undefined
      ? ['has no trafficRouting, so replicas decide the share of the canary; set `trafficRouting.istio`']
      : [`routes the traffic by ${other}, and this program reads what Istio counts; set \`trafficRouting.istio\``]
  }
  return [
    ...(canary.pingPong
      ? ['has `pingPong`, so its two Services change roles at each promotion; set stableService and canaryService']
      : []),
    ...placeFaults(rollout),
    ...healthFaults(status),
    ...metadataFaults(canary),
    ...(maxTrafficWeight === undefined || maxTrafficWeight === 100 ? [] : [wideWeights]),
  ]
}

/** The run reads the routes of one namespace. */
function placeFaults(rollout: Rollout): string[] {
  const { namespace = '' } = rollout.metadata
  return virtualServicesOf(rollout)
    .filter(({ name }) => nameIn(namespace, name) === undefined)
    .map(
      ({ name }) =>
        `moves the traffic by a VirtualService of the namespace ${placeOf(name).place} (${name}), and this run reads those of ` +
        `${namespace}; move it there`,
    )
}

/** Where stable itself is broken, no traffic could return to it. */
function healthFaults({ phase, message = '', stableRS, currentPodHash }: NonNullable<Rollout['status']>): string[] {
  const isBroken = phase === 'Degraded' && stableRS !== undefined && stableRS === currentPodHash
  return isBroken ? [`is degraded with its stable revision (${message}); repair it first`] : []
}

const wideWeights = 'has a maxTrafficWeight other than 100, so its weights are no per cent; remove it'

/** Argo changes these labels while the pods run, and the sidecars report what was there at their start. */
function metadataFaults({
  canaryMetadata,
  stableMetadata,
}: NonNullable<NonNullable<Rollout['spec']['strategy']>['canary']>) {
  const labels = { ...canaryMetadata?.labels, ...stableMetadata?.labels }
  const told = ['version', 'app.kubernetes.io/version', 'service.istio.io/workload-name'].find((each) => each in labels)
  return told === undefined
    ? []
    : [
        `sets the label ${told} in canaryMetadata or stableMetadata: after a promotion the sidecars still report the old one, ` +
          'so failures would count for the wrong version; use another label there',
      ]
}

/** The weights of its steps, rising. After the last one, the canary gets all the traffic. */
export function rolloutSteps({ spec }: Rollout): number[] {
  return rising([...(spec.strategy?.canary?.steps ?? []).flatMap(({ setWeight }) => setWeight ?? []), 100])
}

/** Each weight once, as the stages of a plan are. */
export function rising(weights: number[]): number[] {
  return [...new Set(weights.filter((weight) => weight > 0))].sort((a, b) => a - b)
}
