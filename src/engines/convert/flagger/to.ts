// A section `canary` as a Canary of Flagger, with a MetricTemplate for each query.
import { withoutUndefined } from '../../../runtime/without-undefined.ts'
import type { CanaryConfig, Config } from '../../../config/schema.ts'
import { conditions } from '../../../policies/compile/http.ts'
import { type EngineObject, type Generated, istioPolicy, Keys, namedQueries, templateName } from '../generated.ts'
import { durationText, percentOf, prometheusAddress } from '../values.ts'
import { queryForFlagger } from './query.ts'
import { shortestIntervalMs, weightsForFlagger } from './steps.ts'

type Section = Record<string, unknown>

const apiVersion = 'flagger.app/v1beta1'

/** `workload`: the Deployment that Flagger watches. */
export function flaggerObjects(config: Config, plan: CanaryConfig, workload = plan.service): Generated {
  const keys = new Keys(config, plan)
  const { service } = plan
  keys.take('service')
  if (workload === service)
    keys.assume(['service'], `the Deployment is taken to be named ${service}; if not, correct \`targetRef.name\``)
  if (plan.image === 'current') keys.take('image')
  const { metrics, templates } = metricsOf(config, plan, keys)
  keys.take('progressDeadline')
  if (plan.interval >= shortestIntervalMs) keys.take('interval')
  else keys.differ(['interval'], 'Flagger looks every 10 s at most: 10s')
  const canary: EngineObject = {
    apiVersion,
    kind: 'Canary',
    metadata: { name: service, namespace: config.namespace },
    spec: {
      provider: 'istio',
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: workload },
      progressDeadlineSeconds: Math.ceil(plan.progressDeadline / 1000),
      service: serviceOf(config, plan, workload, keys),
      analysis: {
        interval: intervalOf(plan),
        threshold: thresholdOf(plan, keys),
        ...stepsOf(plan, keys),
        metrics,
        ...webhooksOf(plan, keys),
      },
    },
  }
  return { objects: [canary, ...templates], taken: keys.taken, notes: keys.notes }
}

function intervalOf({ interval }: CanaryConfig): string {
  return durationText(Math.max(interval, shortestIntervalMs))
}

function serviceOf(config: Config, { service }: CanaryConfig, workload: string, keys: Keys): Section {
  const policy = config.services?.[service] ?? {}
  for (const key of ['port', 'timeout', 'retries', 'loadBalancer', 'circuitBreaker']) keys.takeOfService(key)
  for (const path of unknownPolicies)
    keys.leaveOfService(path, 'the CRD of Flagger has no such field; write a DestinationRule of your own')
  const { maxConnections, ...circuitBreaker } = policy.circuitBreaker ?? {}
  const { budget, ...retries } = policy.retries ?? {}
  const { warmup, ...loadBalancer } = policy.loadBalancer ?? {}
  const known = withoutUndefined({
    timeout: policy.timeout,
    retries: policy.retries && retries,
    loadBalancer: policy.loadBalancer && loadBalancer,
    circuitBreaker: Object.keys(circuitBreaker).length > 0 ? circuitBreaker : undefined,
  }) as Parameters<typeof istioPolicy>[2]
  if (policy.port !== undefined) keys.assumeOfService(['port'], theOnlyPort(service))
  return {
    ...(workload === service ? {} : { name: service }),
    ...withoutUndefined({ port: policy.port }),
    ...istioPolicy(config, service, known),
  }
}

function theOnlyPort(service: string): string {
  return (
    `Flagger writes the Service ${service} anew, with this port only, named http, and the same port of the pods; if the Service ` +
    'has more, set `targetPort`, `portName` and `portDiscovery`, too'
  )
}

/** Istio has them, and the objects that Flagger makes have not. */
const unknownPolicies = [
  ['circuitBreaker', 'maxConnections'],
  ['retries', 'budget'],
  ['loadBalancer', 'warmup'],
]

function stepsOf(plan: CanaryConfig, keys: Keys): Section {
  const { mirror, ab, interval, steps } = plan
  if (ab) return abTest(plan, keys)
  const weights = weightsForFlagger(plan)
  if (steps.at(-1) === 100) keys.take('steps')
  else keys.differ(['steps'], `Flagger ends no promotion at ${steps.at(-1)!}: it goes on to 100`)
  const copies = mirror ? mirrorOf(mirror, keys) : {}
  if (weights) {
    if (mirror?.interval !== undefined && mirror.interval !== interval)
      keys.leave(['mirror', 'interval'], 'Flagger copies requests for one interval')
    else if (mirror) keys.take('mirror', 'interval')
    return { ...copies, ...weights }
  }
  return { ...copies, iterations: iterationsOf(plan, keys) }
}

/** How often Flagger looks while requests are copied, and nothing else happens. */
function iterationsOf({ mirror, interval }: CanaryConfig, keys: Keys): number {
  if (mirror?.interval === undefined) return 1
  const each = Math.max(interval, shortestIntervalMs)
  const count = Math.max(1, Math.round(mirror.interval / each))
  if (count * each === mirror.interval) keys.take('mirror', 'interval')
  else keys.differ(['mirror', 'interval'], `Flagger copies requests for whole intervals: ${durationText(count * each)}`)
  return count
}

function mirrorOf({ percent }: NonNullable<CanaryConfig['mirror']>, keys: Keys): Section {
  const weight = Math.max(1, Math.round(percent))
  if (weight === percent) keys.take('mirror', 'percent')
  else keys.differ(['mirror', 'percent'], `Flagger copies whole per cent: ${weight}`)
  return { mirror: true, ...(weight === 100 ? {} : { mirrorWeight: weight }) }
}

function abTest({ ab, mirror, steps }: CanaryConfig, keys: Keys): Section {
  if (ab!.match.some(({ path, method }) => path !== undefined || method !== undefined)) {
    keys.leave(['ab'], 'the CRD of Flagger knows conditions on headers and query parameters only')
    return { iterations: 1 }
  }
  keys.take('ab')
  if (mirror) keys.leave(['mirror'], 'Flagger has either `match` or `mirror`')
  if (steps.length === 1 && steps[0] === 100) keys.take('steps')
  else keys.leave(['steps'], 'after an A/B test, Flagger promotes the canary at once')
  return { iterations: ab!.intervals, match: conditions(ab!.match) }
}

type Metrics = { metrics: Section[]; templates: EngineObject[] }

function metricsOf(config: Config, plan: CanaryConfig, keys: Keys): Metrics {
  const { checks, prometheus } = plan
  const { successRate, p99 } = checks
  keys.take('checks', 'successRate')
  keys.take('checks', 'p99')
  const address = prometheus && prometheusAddress(prometheus)
  for (const key of ['service', 'address']) keys.take('prometheus', key)
  const own = namedQueries(plan, keys).flatMap((query) => queryMetric(config, plan, query, address, keys))
  return {
    metrics: [
      { name: 'request-success-rate', interval: window(plan), thresholdRange: { min: percentOf(successRate) } },
      ...(p99 === undefined
        ? []
        : [{ name: 'request-duration', interval: window(plan), thresholdRange: { max: p99 } }]),
      ...own.map(({ metric }) => metric),
    ],
    templates: own.map(({ template }) => template),
  }
}

/** What a metric looks back at: the step so far, and no less than Prometheus needs for a rate. */
function window({ interval }: CanaryConfig): string {
  return durationText(Math.max(interval, 30_000))
}

function queryMetric(
  { namespace }: Config,
  plan: CanaryConfig,
  [name, metricName, { query, min, max }]: ReturnType<typeof namedQueries>[number],
  address: string | undefined,
  keys: Keys,
): { metric: Section; template: EngineObject }[] {
  const path = ['checks', 'queries', name]
  const written = queryForFlagger(query)
  if ('unknown' in written) {
    keys.leave(path, `Flagger does not fill in \`${written.unknown}\`; write the query without it`)
    return []
  }
  if (address === undefined) {
    keys.leave(path, 'only mesh-canary knows where Prometheus is; set `prometheus.service` or `prometheus.address`')
    return []
  }
  for (const key of ['query', 'min', 'max']) keys.take(...path, key)
  const template = templateName(plan, metricName)
  const metric = {
    name: metricName,
    ...(/\{\{ interval/.test(written.query) ? { interval: intervalOf(plan) } : {}),
    templateRef: { name: template, namespace },
    thresholdRange: withoutUndefined({ min, max }),
  }
  const spec = { provider: { type: 'prometheus', address }, query: written.query }
  return [{ metric, template: { apiVersion, kind: 'MetricTemplate', metadata: { name: template, namespace }, spec } }]
}

/** The most failures that a check may have in a row, as Flagger has one number for all. */
function thresholdOf({ checks, webhooks }: CanaryConfig, keys: Keys): number {
  const queries = Object.entries(checks.queries).map(([name, { failures }]) => ({
    path: ['checks', 'queries', name, 'failures'],
    failures,
  }))
  const hooks = Object.entries(webhooks)
    .filter(([, { type }]) => type === 'rollout')
    .map(([name, { failures }]) => ({ path: ['webhooks', name, 'failures'], failures }))
  const counted = [...queries, ...hooks]
  for (const { path, failures } of counted)
    if (failures === 1) keys.take(...path)
    else keys.differ(path, 'Flagger counts the failures of all checks together, and not in a row: `threshold`')
  return Math.max(1, ...counted.map(({ failures }) => failures))
}

function webhooksOf({ webhooks }: CanaryConfig, keys: Keys): Section {
  const hooks = Object.entries(webhooks).map(([name, hook]) => {
    const { type, url, timeout, retries, metadata } = hook
    for (const key of ['type', 'url', 'timeout', 'retries', 'metadata']) keys.take('webhooks', name, key)
    return withoutUndefined({
      name,
      type,
      url: new URL(url).href,
      timeout: durationText(timeout),
      retries: retries === 0 ? undefined : retries,
      metadata,
    })
  })
  return hooks.length === 0 ? {} : { webhooks: hooks }
}
