// Reads a Canary of Flagger: how far it is, which pods it runs, and which routes it writes. Pure.
import stringify from 'safe-stable-stringify'
import type { Workload } from '../cluster/objects.ts'
import { parseDuration } from '../config/values/durations.ts'
import type { Version } from '../config/schema/canary.ts'
import type { OwnRoutes } from '../policies/routes.ts'
import { rising } from './argo-rollouts.ts'
import type { Phase, RolloutProgress } from './progress.ts'
import type { FlaggerCanary } from './objects.ts'

const phases: Record<string, Phase> = {
  Waiting: 'approval',
  Progressing: 'moving',
  WaitingPromotion: 'approval',
  Promoting: 'promoting',
  Finalising: 'promoting',
  Failed: 'failed',
}

/** `weight`: the canary's in the routes, in per cent. Flagger's status has none for an A/B test. */
export function canaryProgress(canary: FlaggerCanary, weight: number): RolloutProgress {
  const { spec, status = {} } = canary
  const { phase = '', lastAppliedSpec = '', lastPromotedSpec, conditions = [] } = status
  const isPromoted = ['Succeeded', 'Initialized'].includes(phase) && lastPromotedSpec === lastAppliedSpec
  const { match = [], iterations = 0 } = spec.analysis ?? {}
  const isSuspended = spec.suspend === true && ['Waiting', 'Progressing', 'WaitingPromotion'].includes(phase)
  return {
    phase: isPromoted ? 'promoted' : isSuspended ? 'stopped' : (phases[phase] ?? 'waiting'),
    revision: lastAppliedSpec,
    weight: isPromoted ? 100 : weight,
    ...(phase === 'Waiting' && weight === 0 && !hasBegun(canary) ? { isBefore: true as const } : {}),
    ...(match.length > 0 && iterations > 0 && weight > 0 ? { isChosen: true as const } : {}),
    where: isSuspended ? 'suspended (`spec.suspend`)' : describePhase(status),
    reason: isSuspended ? '' : (conditions.find(({ type }) => type === 'Promoted')?.message ?? ''),
  }
}

/** Flagger before 1.31 asks `confirm-rollout` in the middle, too, and the canary keeps its traffic while that waits. */
function hasBegun({ status: { canaryWeight = 0, iterations = 0 } = {} }: FlaggerCanary): boolean {
  return canaryWeight > 0 || iterations > 0
}

/** Flagger counts failed checks in this phase, or keeps what it has begun. */
export function canFail(canary: FlaggerCanary): boolean {
  const { phase = '' } = canary.status ?? {}
  return ['Progressing', 'WaitingPromotion'].includes(phase) || (phase === 'Waiting' && hasBegun(canary))
}

/** Why it may not follow an abort for a while; continues a sentence. */
export function abortDelay({ spec, status: { phase = '' } = {} }: FlaggerCanary): string {
  if (spec.suspend) return '; it is suspended (`spec.suspend`), so Flagger looks at nothing until you end that'
  if (phase === 'Waiting')
    return (
      '; `confirm-rollout` waits for approval, and Flagger begins anew with this version after that: give the Deployment the version ' +
      'that serves before you approve'
    )
  return '; while pods are not ready, Flagger looks at nothing else, until its progressDeadlineSeconds'
}

function describePhase({ phase = 'without a status', failedChecks = 0 }: NonNullable<FlaggerCanary['status']>): string {
  return failedChecks > 0 ? `${phase}, ${failedChecks} failed checks` : phase
}

/** The Service that callers use, and the two behind it. */
export function canaryServices({ spec }: FlaggerCanary): { apex: string; primary: string; canary: string } {
  const apex = spec.service.name ?? spec.targetRef.name
  return { apex, primary: `${apex}-primary`, canary: `${apex}-canary` }
}

/** With session affinity, Flagger puts routes for the cookie of each version before the one with the weights. */
export function canaryRoutes(canary: FlaggerCanary): OwnRoutes {
  const { apex } = canaryServices(canary)
  return { name: apex, ...(canary.spec.analysis?.sessionAffinity ? { isSticky: true } : {}) }
}

export function canaryVersions(object: FlaggerCanary): { stable: Version; canary: Version } {
  const { primary, canary } = canaryServices(object)
  return { stable: { by: 'service', name: primary }, canary: { by: 'service', name: canary } }
}

/** Flagger's own default is 1. */
export function thresholdOf({ spec }: FlaggerCanary): number {
  return Math.max(1, spec.analysis?.threshold ?? 1)
}

/** Flagger rounds a shorter interval up to ten seconds. Milliseconds. */
export function intervalOf({ spec }: FlaggerCanary): number {
  const ms = parseDuration(spec.analysis?.interval) ?? 0
  return ms === 0 ? 60_000 : Math.max(10_000, ms)
}

/** Why the run cannot follow it; one sentence each, which continues the name of the object. */
export function canaryFaults({ spec }: FlaggerCanary): string[] {
  const { provider = 'istio', skipAnalysis, targetRef } = spec
  return [
    ...(provider === 'istio'
      ? []
      : [`has the provider ${provider}, and this program reads what Istio counts; set \`provider: istio\``]),
    ...(skipAnalysis ? ['has `skipAnalysis: true`, so no traffic would show how the canary is; remove it'] : []),
    ...(targetRef.kind === 'Deployment'
      ? []
      : [`has a ${targetRef.kind} as its target, and this program follows Deployments; give it a Deployment`]),
  ]
}

/**
 * True if primary's pods run what the target says. Flagger appends `-primary` to the names of what it copies, and marks the pods
 * with an id of its own.
 */
export function runsSameTemplate(target: Workload, primary: Workload): boolean {
  return templateText(target) === templateText(primary)
}

/** The pod template, to compare it with that of primary or with an earlier one. */
export function templateText({ spec: { template } }: Workload): string {
  const { 'flagger-id': _, ...annotations } = template.metadata?.annotations ?? {}
  const text = stringify({ labels: template.metadata?.labels ?? {}, annotations, spec: template.spec }) ?? ''
  return text.replaceAll('-primary"', '"')
}

/** The weights of its steps, rising. At the last one, primary gets the version of the canary. */
export function canarySteps({ spec }: FlaggerCanary): number[] {
  const { iterations = 0, stepWeights = [], stepWeight = 0, maxWeight = 100 } = spec.analysis ?? {}
  if (iterations > 0) return [100]
  if (stepWeight <= 0) return stepWeights.length > 0 ? rising(stepWeights) : [100]
  const count = Math.ceil((stepWeights.at(-1) ?? maxWeight) / stepWeight)
  return rising(Array.from({ length: count }, (_, i) => Math.min(100, (i + 1) * stepWeight)))
}
