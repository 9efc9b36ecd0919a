// A section `canary` as a Rollout of an existing Deployment, with an AnalysisTemplate for each query, and the routes and
// subsets that the Rollout moves.
import { withoutUndefined } from '../../../runtime/without-undefined.ts'
import { abRouteName } from '../../../config/names.ts'
import type { CanaryConfig, Config } from '../../../config/schema.ts'
import { type EngineObject, type Generated, Keys, namedQueries, templateName } from '../generated.ts'
import { durationText, prometheusAddress } from '../values.ts'
import { conditionOf } from './conditions.ts'
import { routesOf } from './routes.ts'

type Section = Record<string, unknown>
type Query = CanaryConfig['checks']['queries'][string]

const apiVersion = 'argoproj.io/v1alpha1'
const mirrorRouteName = 'mesh-canary-mirror'

/** `workload`: the Deployment whose pods the Rollout runs. */
export function argoObjects(config: Config, plan: CanaryConfig, workload = plan.service): Generated {
  const keys = new Keys(config, plan)
  const { namespace } = config
  const { service } = plan
  keys.take('service')
  if (workload === service)
    keys.assume(['service'], `the Deployment is taken to be named ${service}; if not, correct \`workloadRef.name\``)
  if (plan.image === 'current') keys.take('image')
  keys.take('progressDeadline')
  const routes = routesOf(config, plan, keys)
  const templates = templatesOf(config, plan, keys)
  const names = templates.map(({ metadata: { name } }) => ({ templateName: name }))
  const rollout: EngineObject = {
    apiVersion,
    kind: 'Rollout',
    metadata: { name: service, namespace },
    spec: {
      workloadRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: workload, scaleDown: 'progressively' },
      progressDeadlineSeconds: Math.ceil(plan.progressDeadline / 1000),
      progressDeadlineAbort: true,
      strategy: {
        canary: {
          ...versionsOf(plan, keys),
          trafficRouting: { ...managedRoutes(plan), istio: { ...routes.istio, ...destinationRule(plan) } },
          ...(names.length > 0 ? { analysis: { templates: names } } : {}),
          steps: stepsOf(plan, keys),
        },
      },
    },
  }
  return { objects: [rollout, ...templates, ...routes.objects], taken: keys.taken, notes: keys.notes }
}

function versionsOf({ stable, canary }: CanaryConfig, keys: Keys): Section {
  for (const key of ['stable', 'canary']) keys.take(key)
  if (stable.by === 'service')
    keys.assume(
      ['canary'],
      `the Services ${stable.name} and ${canary.name} have to exist, and Argo Rollouts adds a label to the selectors of both`,
    )
  return stable.by === 'service' ? { stableService: stable.name, canaryService: canary.name } : {}
}

function destinationRule({ service, stable, canary }: CanaryConfig): Section {
  if (stable.by === 'service') return {}
  return { destinationRule: { name: service, stableSubsetName: stable.name, canarySubsetName: canary.name } }
}

function managedRoutes({ mirror, ab }: CanaryConfig): Section {
  const names = [...(mirror ? [mirrorRouteName] : []), ...(ab ? [abRouteName] : [])]
  return names.length === 0 ? {} : { managedRoutes: names.map((name) => ({ name })) }
}

function stepsOf(plan: CanaryConfig, keys: Keys): Section[] {
  const { mirror, ab, steps, interval, until } = plan
  for (const key of ['steps', 'until']) keys.take(key)
  takeTime(interval, ['interval'], keys)
  const before = [...(mirror ? mirrorSteps(mirror, interval, keys) : []), ...(ab ? abSteps(plan, keys) : [])]
  const weights = steps.flatMap((weight): Section[] => [
    { setWeight: weight },
    pauseOf(interval),
    ...(weight === until ? [{ pause: {} }] : []),
  ])
  const last = steps.at(-1)!
  if (last < 100) keys.differ(['steps'], `the Rollout waits at ${last} for an approval, and then goes on to 100`)
  // At weight 0 the canary has no pods, unless the Rollout is told how many.
  const scaled = before.length === 0 ? [] : [{ setCanaryScale: { weight: 100 } }]
  const matched = before.length === 0 ? [] : [{ setCanaryScale: { matchTrafficWeight: true } }]
  return [...scaled, ...before, ...matched, ...weights, ...(last < 100 && until !== last ? [{ pause: {} }] : [])]
}

/** Argo Rollouts drops a part of a second. */
function pauseOf(ms: number): Section {
  return { pause: { duration: durationText(wholeSeconds(ms)) } }
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000) * 1000
}

function takeTime(ms: number, path: string[], keys: Keys): void {
  const whole = wholeSeconds(ms)
  if (whole === ms) keys.take(...path)
  else keys.differ(path, `a pause of a Rollout lasts whole seconds: ${durationText(whole)}`)
}

function mirrorSteps(
  { percent, interval }: NonNullable<CanaryConfig['mirror']>,
  stepMs: number,
  keys: Keys,
): Section[] {
  const percentage = Math.max(1, Math.round(percent))
  if (percentage === percent) keys.take('mirror')
  else keys.differ(['mirror', 'percent'], `Argo Rollouts copies whole per cent: ${percentage}`)
  takeTime(interval ?? stepMs, ['mirror', 'interval'], keys)
  return [
    { setMirrorRoute: { name: mirrorRouteName, percentage, match: [{ path: { prefix: '/' } }] } },
    pauseOf(interval ?? stepMs),
    { setMirrorRoute: { name: mirrorRouteName } },
  ]
}

/** A route of Argo Rollouts matches one header; several are alternatives. */
function abSteps({ ab, interval }: CanaryConfig, keys: Keys): Section[] {
  const headers = ab!.match.map((match) => {
    const entries = Object.entries(match.headers ?? {})
    const isOnly = Object.values(match).filter((value) => value !== undefined).length === 1
    return isOnly && entries.length === 1 ? entries[0] : undefined
  })
  if (headers.includes(undefined)) {
    keys.leave(['ab'], 'a header route of Argo Rollouts matches one header, and nothing else')
    return []
  }
  keys.take('ab')
  return [
    {
      setHeaderRoute: {
        name: abRouteName,
        match: headers.map((entry) => ({ headerName: entry![0], headerValue: entry![1] })),
      },
    },
    pauseOf(ab!.intervals * interval),
    { setHeaderRoute: { name: abRouteName } },
  ]
}

function templatesOf(config: Config, plan: CanaryConfig, keys: Keys): EngineObject[] {
  const { prometheus } = plan
  const address = prometheus && prometheusAddress(prometheus)
  for (const key of ['service', 'address', 'timeout']) keys.take('prometheus', key)
  return [
    ...requestMetrics(config, plan, address, keys),
    ...namedQueries(plan, keys).flatMap(([name, metric, query]) =>
      queryMetric(config, plan, name, query, address, keys).map((each) => ({ ...each, name: metric })),
    ),
  ].map((metric) => ({
    apiVersion,
    kind: 'AnalysisTemplate',
    metadata: { name: templateName(plan, metric.name), namespace: config.namespace },
    spec: { metrics: [metric] },
  }))
}

type Metric = { name: string } & Section

/** The success rate and the latency, where a Service of its own tells the canary's requests from those of stable. */
function requestMetrics(config: Config, plan: CanaryConfig, address: string | undefined, keys: Keys): Metric[] {
  const { checks, canary, metrics } = plan
  const { successRate, p99 } = checks
  const why =
    canary.by === 'subset'
      ? 'only queries become metrics: the counters of the two versions of a Rollout differ by Service, not by subset'
      : address === undefined && 'only mesh-canary reads the sidecars; set `prometheus`'
  if (why !== false) {
    for (const key of ['successRate', 'p99']) keys.leave(['checks', key], why)
    return []
  }
  for (const key of ['successRate', 'p99'])
    keys.differ(['checks', key], 'Argo Rollouts compares a rate with the bound, whatever the number of requests')
  const labels = `reporter="source",destination_service_name="${canary.name}",destination_service_namespace="${config.namespace}"`
  const window = durationText(Math.max(plan.interval, shortestWindowMs))
  const all = `sum(rate(${metrics.requests}{${labels}}[${window}]))`
  // Without one good response there is no such series, and the quotient would have no result.
  const good = `(sum(rate(${metrics.requests}{${labels},response_code!~"5..|0"}[${window}])) or vector(0))`
  const slowest = `histogram_quantile(0.99, sum by (le) (rate(${metrics.duration}_bucket{${labels}}[${window}])))`
  const metric = (name: string, query: string, condition: string) => ({
    name,
    interval: durationText(plan.interval),
    // Without requests there is no result, whose first number would be an error.
    successCondition: `len(result) == 0 || isNaN(result[0]) || ${condition}`,
    provider: { prometheus: { address, query } },
  })
  return [
    metric('request-success-rate', `${good} / ${all}`, `result[0] >= ${successRate}`),
    ...(p99 === undefined ? [] : [metric('request-duration', slowest, `result[0] <= ${p99}`)]),
  ]
}

/** Prometheus scrapes every 15 seconds or so, and a rate needs two samples. */
const shortestWindowMs = 30_000

function queryMetric(
  { namespace }: Config,
  plan: CanaryConfig,
  name: string,
  { query, min, max, every, failures }: Query,
  address: string | undefined,
  keys: Keys,
): Metric[] {
  const path = ['checks', 'queries', name]
  const written = queryFor(query, namespace, plan)
  if ('unknown' in written) {
    keys.leave(path, `nothing in a Rollout has the name \`${written.unknown}\`; write the query without it`)
    return []
  }
  if (address === undefined) {
    keys.leave(path, 'only mesh-canary knows where Prometheus is; set `prometheus.service` or `prometheus.address`')
    return []
  }
  for (const key of ['min', 'max', 'every']) keys.take(...path, key)
  keys.differ(
    [...path, 'query'],
    'without a result, Argo Rollouts aborts after five measurements; here the check is undecided',
  )
  if (failures === 1) keys.take(...path, 'failures')
  else keys.differ([...path, 'failures'], 'Argo Rollouts counts failures in total, and not in a row: `failureLimit`')
  const timeout = Math.ceil(plan.prometheus!.timeout / 1000)
  return [
    {
      name,
      interval: durationText(every ?? plan.interval),
      failureLimit: failures - 1,
      successCondition: conditionOf(withoutUndefined({ min, max })),
      provider: { prometheus: { address, timeout, query: written.query } },
    },
  ]
}

/** The pods of both versions belong to the Rollout, so no name of a workload tells them apart. */
function queryFor(
  query: string,
  namespace: string,
  { service, canary, interval }: CanaryConfig,
): { query: string } | { unknown: string } {
  const hasCanaryService = canary.by === 'service' && canary.name === `${service}-canary`
  const variables = hasCanaryService ? /\$(stable|canary|weight)\b/ : /\$(stable|canary|weight|service-canary)\b/
  const unknown = variables.exec(query)?.[0]
  if (unknown !== undefined) return { unknown }
  const values: Record<string, string> = { namespace, service, interval: durationText(interval) }
  return { query: query.replace(/\$(namespace|service|interval)\b/g, (_, variable: string) => values[variable]!) }
}
