// A Canary of Flagger as a section `canary`, and what it says of its service as a section of `services`.
import { dnsName } from '../../../config/values/kubernetes.ts'
import type { Field } from '../ledger.ts'
import { routePolicy, trafficPolicy } from '../traffic-policy.ts'
import { durationOf, durationText, Names, wholeNumberOf } from '../values.ts'
import { checksFromFlagger } from './metrics.ts'
import { shortestIntervalMs, stepsFromFlagger } from './steps.ts'

type Section = Record<string, unknown>
export type Converted = { canary: Section; service: string; policy: Section }

/** Flagger's own, where ours differ. */
const defaults = { intervalMs: 60_000, progressDeadlineSeconds: 600 }

/** `template`: finds a MetricTemplate of the input. */
export function canaryFromFlagger(
  root: Field,
  template: (namespace: string, name: string) => Field | undefined,
): Converted {
  const spec = root.get('spec')
  const analysis = spec.get('analysis').given ? spec.get('analysis') : spec.get('canaryAnalysis')
  const target = spec.get('targetRef', 'name').text() ?? ''
  const service = spec.get('service', 'name').text() ?? target
  takeNames(root, service, target)
  const isDeployment = spec.get('targetRef', 'kind').value === 'Deployment'
  const interval = analysis.get('interval')
  const intervalMs = intervalOf(interval)
  const names = new Names()
  const metrics = analysis.get('metrics').items()
  const { checks, prometheus } = checksFromFlagger(metrics, {
    canary: root,
    service,
    target,
    intervalMs,
    names,
    template,
  })
  const webhooks = webhooksFrom(analysis.get('webhooks').items(), service, names)
  addFailures(analysis.get('threshold'), [
    ...Object.values((checks['queries'] ?? {}) as Record<string, Section>),
    ...Object.values(webhooks),
  ])
  return {
    service,
    policy: servicePolicy(spec.get('service')),
    canary: {
      service,
      ...(isDeployment ? { image: 'current' } : {}),
      ...stepsFromFlagger(analysis, intervalMs),
      interval: durationText(intervalMs),
      progressDeadline: progressDeadline(spec.get('progressDeadlineSeconds')),
      ...(Object.keys(checks).length > 0 ? { checks } : {}),
      ...(prometheus ? { prometheus } : {}),
      ...(Object.keys(webhooks).length > 0 ? { webhooks } : {}),
    },
  }
}

/** Flagger looks every ten seconds at most. */
function intervalOf(interval: Field): number {
  const ms = durationOf(interval) ?? defaults.intervalMs
  if (ms >= shortestIntervalMs) interval.take()
  else interval.differ('Flagger looks every 10 s at most, so `interval` is 10s')
  return Math.max(ms, shortestIntervalMs)
}

function takeNames(root: Field, service: string, target: string): void {
  const [spec, name] = [root.get('spec'), root.get('metadata', 'name')]
  const serviceName = spec.get('service', 'name')
  if (!dnsName.test(service))
    (serviceName.given ? serviceName : spec.get('targetRef', 'name')).fail('a Kubernetes name')
  if (name.value === service) name.take()
  else name.leave(`a canary is named after its Service: ${service}`)
  serviceName.take()
  takeTarget(spec.get('targetRef'), service, target)
  const provider = spec.get('provider')
  if (provider.value === 'istio') provider.take()
  else provider.leave('mesh-canary moves traffic in Istio only')
}

function takeTarget(ref: Field, service: string, target: string): void {
  if (ref.get('kind').value !== 'Deployment')
    return void ref.leave('a run releases Deployments only: deploy the second version as `canary` yourself')
  for (const key of ['apiVersion', 'kind']) ref.get(key).take()
  if (target === service) ref.get('name').take()
  else ref.get('name').leave(`the run finds the Deployment behind the Service ${service} by itself`)
}

function progressDeadline(field: Field): string {
  const seconds = wholeNumberOf(field, 1, 2_000_000) ?? defaults.progressDeadlineSeconds
  field.take()
  return durationText(seconds * 1000)
}

function servicePolicy(service: Field): Section {
  const port = service.get('port')
  const number = wholeNumberOf(port, 1, 65_535)
  port.take()
  return {
    ...(number === undefined ? {} : { port: number }),
    ...routePolicy(service.get('timeout'), service.get('retries')),
    ...trafficPolicy(service.get('trafficPolicy')),
  }
}

function webhooksFrom(items: readonly Field[], service: string, names: Names): Record<string, Section> {
  return Object.fromEntries(items.flatMap((item) => webhookFrom(item, service, names)))
}

function webhookFrom(item: Field, service: string, names: Names): [string, Section][] {
  const [type, url, name] = [item.get('type'), item.get('url'), item.get('name')]
  if (type.value === 'confirm-traffic-increase') {
    item.leave('no webhook confirms each weight; split the promotion by `until`, or use `confirm-promotion`')
    return []
  }
  if (!/^https?:\/\//.test(url.text() ?? '') || !URL.canParse(url.text()!)) url.fail('an http or https address')
  const timeout = durationOf(item.get('timeout'))
  const retries = wholeNumberOf(item.get('retries'), 0, 100)
  const free = names.free(name.text()!)
  if (free === name.text()) name.take()
  else
    name.differ(`a webhook is named by lower-case letters, digits and dashes, and no other check has its name: ${free}`)
  for (const field of [type, url, item.get('timeout'), item.get('retries')]) field.take()
  const metadata = metadataOf(item.get('metadata'), service)
  const hook = {
    type: type.text() || 'rollout',
    url: url.value,
    ...(timeout === undefined ? {} : { timeout: durationText(timeout) }),
    ...(retries === undefined || retries === 0 ? {} : { retries }),
    ...(metadata ? { metadata } : {}),
  }
  return [[free, hook]]
}

/** Flagger makes the Services `NAME-primary` and `NAME-canary`; a run makes the second one only if it needs it. */
function metadataOf(metadata: Field, service: string): Section | undefined {
  const text = JSON.stringify(metadata.value ?? {})
  const found = ['primary', 'canary'].map((role) => `${service}-${role}`).find((name) => text.includes(name))
  if (found === undefined) return metadata.take() as Section | undefined
  return metadata.differ(
    `it names ${found}, a Service that Flagger makes; here there is none called ${service}-primary, and ${service}-canary ` +
      'only while a canary lives whose pods have no label of their own',
  ) as Section | undefined
}

/** Every check that Flagger counts may fail `threshold` times less one. */
function addFailures(threshold: Field, checks: Section[]): void {
  const count = wholeNumberOf(threshold, 0, 1_000_000) ?? 0
  const counted = checks.filter(({ type }) => type === undefined || type === 'rollout')
  if (!threshold.given) return
  if (counted.length === 0)
    return void threshold.leave(
      'the checks of requests do not count failed checks: `falseRollback` is the chance of a wrong rollback',
    )
  if (count > 100) threshold.fail('a whole number up to 100')
  if (count <= 1) return void threshold.take()
  threshold.differ(
    'Flagger counts all failed checks together; here each query and `rollout` webhook may fail in a row so often, and the ' +
      'checks of requests have `falseRollback`',
  )
  for (const check of counted) check['failures'] = count
}
