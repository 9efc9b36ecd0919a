// The alerts about a canary that nobody watches any more: it fails, or it never gets to its end. Pure.
import { createdCanaryName, releaseKeysOf, servicesOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import {
  calledHost,
  failureRate,
  failureShare,
  hostLabel,
  namespaceLabel,
  reachedNoPod,
  requestCount,
  requestRate,
  type Selection,
  serviceLabel,
  shareOf,
} from '../promql.ts'
import { type AlertRule, type Alerts, minutes } from './rule.ts'

/** `by`: the labels that name the version's Service in a series of the selection. */
type VersionRequests = { selection: Selection; by: readonly string[] }

/** The rules for one promotion. The canary's own run judges it more exactly; these also work when no run is there. */
export function canaryAlerts(config: Pick<Config, 'namespace' | 'services'>, plan: CanaryConfig): Alerts {
  const canary = requestsTo(config, plan, 'canary')
  const stable = requestsTo(config, plan, 'stable')
  const unserved = unservedCalls(config, plan)
  if (!canary || !stable)
    return {
      rules: [unserved],
      unwatched: [
        `the only alert for the canary of ${plan.service} is ${unserved.alert}: ` +
          'Istio’s metrics tell its versions apart only by the label version of the pods, or by a Service of its own',
      ],
    }
  const rules = [failing(config, plan, canary), unserved]
  if (isPlannedToEnd(plan)) rules.push(stuck(plan, canary, stable))
  return { rules, unwatched: [] }
}

/** How Istio's metrics show the requests of a version; undefined if they do not. */
function requestsTo(
  { namespace, services }: Pick<Config, 'namespace' | 'services'>,
  plan: CanaryConfig,
  role: 'canary' | 'stable',
): VersionRequests | undefined {
  const version = plan[role]
  const isReleased = releaseKeysOf(plan).length > 0
  // The sidecar of a pod reports the first Service that selects the pod, which is often that of both versions. The callers
  // report the Service to which the route has sent them.
  if (version.by === 'service' && !isReleased)
    return { selection: { reporter: 'source', matchers: [calledHost(namespace, version.name)] }, by: [hostLabel] }
  const subset = servicesOf({ ...(services ? { services } : {}), canary: plan })[plan.service]?.subsets?.[version.name]
  const label = subset?.['version']
  if (!isReleased && label === undefined) return undefined
  const matcher = isReleased
    ? `destination_workload${role === 'canary' ? '=' : '!='}"${createdCanaryName(plan.service)}"`
    : `destination_version="${label}"`
  const matchers = [`${namespaceLabel}="${namespace}"`, `${serviceLabel}="${plan.service}"`, matcher]
  return { selection: { reporter: 'destination', matchers }, by: [namespaceLabel, serviceLabel] }
}

/** Above it, a canary has failed. At the limit itself, chance alone would raise the alert. */
function failureLimit({ checks }: CanaryConfig): number {
  return Number(((1 - checks.successRate) * checks.tolerance).toPrecision(6))
}

function failing(
  { namespace }: Pick<Config, 'namespace'>,
  plan: CanaryConfig,
  { selection, by }: VersionRequests,
): AlertRule {
  const { service: name, canary, checks } = plan
  const limit = failureLimit(plan)
  const isServing = `${requestRate(selection, by, '2m')} > 0`
  const isKnown = `${requestCount(selection, by, '5m')} >= ${Math.max(1, checks.minRequests)}`
  return {
    alert: 'MeshCanaryFailing',
    expr: `${failureShare(selection, by, '5m')} > ${limit} and ${isKnown} and ${isServing}`,
    for: '1m',
    labels: { severity: 'critical', canary: canary.name },
    annotations: {
      summary: `The canary ${canary.name} of ${name} fails {{ $value | humanizePercentage }} of its requests`,
      description:
        `For a minute, ${canary.name} of ${name} in ${namespace} has failed more than ` +
        `${Number((limit * 100).toPrecision(4))}% of the requests of the last 5 minutes, which is ` +
        `${checks.tolerance} times what \`successRate\` allows, and it still gets traffic.`,
      action: 'Run the stage `rollback` to return the traffic to stable, then read the log of the canary’s pods.',
    },
  }
}

/**
 * When all pods of a version are gone, no sidecar of theirs counts a failure. The callers' sidecars do, but of such a call
 * they know only its host: the version only where the canary has a Service of its own.
 */
function unservedCalls({ namespace }: Pick<Config, 'namespace'>, plan: CanaryConfig): AlertRule {
  const { service, canary, checks } = plan
  const called = canary.by === 'service' && releaseKeysOf(plan).length === 0 ? canary.name : service
  const selection: Selection = { reporter: 'source', matchers: [calledHost(namespace, called)] }
  const unserved: Selection = { ...selection, matchers: [...selection.matchers, reachedNoPod] }
  const host = [hostLabel]
  const share = shareOf(failureRate(unserved, host, '5m'), requestRate(selection, host, '5m'))
  const isKnown = `${requestCount(selection, host, '5m')} >= ${Math.max(1, checks.minRequests)}`
  const isGoingOn = `${requestRate(unserved, host, '2m')} > 0`
  return {
    alert: 'MeshCanaryUnserved',
    expr: `${share} > ${failureLimit(plan)} and ${isKnown} and ${isGoingOn}`,
    for: '1m',
    labels: { severity: 'critical', canary: canary.name },
    annotations: {
      summary: `{{ $value | humanizePercentage }} of the calls to ${called} reach no pod`,
      description:
        `For a minute, the sidecars of the callers have ended calls to {{ $labels.destination_service }} themselves. ` +
        `All pods of ${canary.name}${called === service ? ` or of ${plan.stable.name}` : ''} may be gone or refuse ` +
        'connections, a circuit breaker may be full, or the route names a subset that does not exist.',
      action:
        `Run \`kubectl -n ${namespace} get pods\`. If the pods of the canary are missing, run the stage \`rollback\`. If all are ` +
        'there, look at `response_flags`: UO is a full circuit breaker, UF a refused connection, NC a missing subset.',
    },
  }
}

/** A plan that stops below 100% keeps both versions on purpose. */
function isPlannedToEnd({ steps, until }: CanaryConfig): boolean {
  return until === undefined && steps.at(-1) === 100
}

function stuck(plan: CanaryConfig, canary: VersionRequests, stable: VersionRequests): AlertRule {
  const { service: name } = plan
  // A version counts as serving for as long after its last request.
  const servingMs = 10 * 60_000
  const limit = minutes(longestPromotionMs(plan) + servingMs)
  const rate = ({ selection }: VersionRequests, by: readonly string[]) => requestRate(selection, by, minutes(servingMs))
  return {
    alert: 'MeshCanaryStuck',
    expr: `${rate(canary, canary.by)} > 0 and on () ${rate(stable, [])} > 0`,
    for: limit,
    labels: { severity: 'warning', canary: plan.canary.name },
    annotations: {
      summary: `The canary ${plan.canary.name} of ${name} has shared the traffic for more than ${limit}`,
      description:
        `Both versions of ${name} have served for longer than a promotion with these steps and time limits can take, ` +
        'so no run moves the weights any more.',
      action:
        'Look for the run of the last promotion, and run the action again to continue it, or the stage `rollback` to end it.',
    },
  }
}

/** After this time, a promotion has passed its steps or one of its own time limits. */
function longestPromotionMs({ steps, interval, mirror, ab, webhooks, ...plan }: CanaryConfig): number {
  const stages = [
    ...steps.map(() => interval),
    ...(mirror ? [mirror.interval ?? interval] : []),
    ...(ab ? [ab.intervals * interval] : []),
  ]
  const confirms = Object.values(webhooks).filter(({ type }) => type.startsWith('confirm-')).length
  // One deadline for each stage, one for the start, and one for the end.
  const limits = plan.progressDeadline * (stages.length + 2) + confirms * plan.confirmTimeout
  const commit = plan.after === 'gitops' ? plan.commitTimeout : 0
  return stages.reduce((sum, ms) => sum + ms, 0) + limits + commit
}
