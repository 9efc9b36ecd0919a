// What the mesh did during an experiment, in words, and what to change if a policy did not act. Pure.
import { quantileEdge, shownCount, type RequestCounts } from '../canary/analysis/request-counts.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import { plural } from '../runtime/plural.ts'
import { targetOf } from './faults/fault-plan.ts'
import type { MeshFacts, RoutePolicy } from './route-policies.ts'
import type { MeshCounts } from './state/mesh-counts.ts'
import type { FaultSigns } from './state/coverage.ts'
import type { EndedState } from './state/types.ts'

/** One sentence each. Empty if nothing was injected. */
export function findings({ service, inject }: ExperimentConfig, state: EndedState, target: string): string[] {
  if (state.recovery.kind === 'unneeded') return []
  const { signs, mesh, steady, acting, coverage } = state
  // Nobody counted anything of its time.
  if (coverage.since === undefined) return ['the fault did not show itself']
  return [faultSentence(inject, signs, target), userSentence(service, steady, acting), ...meshSentences(mesh)]
}

function faultSentence(
  { delay, abort, podKill, partition, chaosMesh }: ExperimentConfig['inject'],
  { calls, faulted }: FaultSigns,
  target: string,
): string {
  if (podKill) return `${plural(faulted, 'pod')} ${faulted === 1 ? 'was' : 'were'} evicted`
  if (chaosMesh) return `Chaos Mesh injected its fault into ${plural(faulted, 'pod')}`
  if (partition) return `the sidecars of ${partition.workload.name} refused ${faulted} requests or connections`
  const what = delay ? 'were delayed' : abort ? 'were aborted' : 'were refused by the connection limits'
  return `${faulted} of ${calls} calls to ${target} ${what}`
}

function userSentence(service: string, steady: RequestCounts, acting: RequestCounts): string {
  const before = `before: ${shownCount(steady.failures)} of ${shownCount(steady.requests)}`
  const failed = `${shownCount(acting.failures)} of ${shownCount(acting.requests)} requests of users of ${service} failed (${before})`
  const [p99Before, p99] = [quantileEdge(steady.times, 0.99), quantileEdge(acting.times, 0.99)]
  if (p99Before === undefined || p99 === undefined) return failed
  return `${failed}; p99 ${p99 === p99Before ? `stayed at ${p99} ms` : `went from ${p99Before} ms to ${p99} ms`}`
}

function meshSentences(mesh: MeshCounts): string[] {
  const { retries, retrySuccesses, timeouts, ejections, overflows } = mesh
  const least = ({ isComplete, count }: MeshCounts['retries']) => `${isComplete ? '' : 'at least '}${count}`
  return [
    retries.isComplete
      ? `the sidecars retried ${retries.count} times, ${retrySuccesses.count} times with success`
      : 'retries were not seen: not every caller publishes that counter',
    `${least(timeouts)} timeouts, ${least(overflows)} requests over a connection limit` +
      (ejections.isComplete ? `, ${ejections.count} ejections` : ''),
  ]
}

/** What to change, one sentence each; empty if the users noticed nothing. */
export function advice(experiment: ExperimentConfig, state: EndedState, facts: MeshFacts): string[] {
  if (state.recovery.kind === 'unneeded') return []
  const { acting, mesh, outcome } = state
  const isHurt = acting.failures > 0 || outcome.verdict === 'fragile'
  return [
    ...facts.policies.flatMap(tooLongTries),
    ...(isHurt ? [...retryAdvice(experiment, mesh, facts), ...ejectionAdvice(experiment, facts)] : []),
    ...(mesh.retries.isComplete ? [] : [publishAdvice]),
  ]
}

function tooLongTries({ tries, perTryTimeoutMs, timeoutMs, name }: RoutePolicy): string[] {
  if (perTryTimeoutMs === undefined || timeoutMs === undefined || tries * perTryTimeoutMs <= timeoutMs) return []
  return [
    `the route ${name} allows ${tries} tries of ${perTryTimeoutMs} ms each, and its \`timeout\` of ${timeoutMs} ms ends them ` +
      'before; raise `timeout`, or lower `perTryTimeout` or `attempts`',
  ]
}

function retryAdvice(experiment: ExperimentConfig, { retries }: MeshCounts, { policies }: MeshFacts): string[] {
  const { service, inject } = experiment
  const isBeforeRouter = (inject.delay ?? inject.abort) !== undefined && targetOf(experiment) === service
  if (isBeforeRouter)
    return [
      `the callers of ${service} inject this fault before their own retries and timeouts, so these could not act; ` +
        `watch a service that calls ${service} to see them act`,
    ]
  const without = policies.filter(({ tries }) => tries <= 1).map(({ name }) => name)
  const isRetried = retries.count > 0 && without.length < Math.max(1, policies.length)
  if (without.length > 0 && !isRetried) {
    const routes = without.length === 1 ? `the route ${without[0]} does` : `the routes ${without.join(', ')} do`
    return [`${routes} not retry calls to ${service}; set \`services.${service}.retries\``]
  }
  if (!retries.isComplete || isRetried) return []
  const conditions = [...new Set(policies.flatMap(({ retryOn }) => retryOn))]
  return [
    `calls to ${service} are retried on ${conditions.join(', ') || "Istio's default conditions"}, and nothing was retried: ` +
      'that does not cover how the calls failed; add the status code or `5xx` to `retryOn`',
  ]
}

function ejectionAdvice({ inject, service }: ExperimentConfig, { pods, ejects }: MeshFacts): string[] {
  if (inject.delay ?? inject.overload) return []
  if (pods <= 1)
    return [`${service} has ${pods} pod: no other one can answer, and none can be ejected; run two or more`]
  return ejects !== false
    ? []
    : [`no pod of ${service} can be ejected; set \`services.${service}.circuitBreaker.consecutive5xxErrors\``]
}

const publishAdvice =
  'to see retries and ejections, let the calling pods publish these counters: the annotation ' +
  'sidecar.istio.io/statsInclusionPrefixes: cluster.outbound on them, or proxyStatsMatcher of the mesh'
