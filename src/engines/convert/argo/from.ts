// A Rollout of Argo Rollouts as a section `canary`.
import { dnsName } from '../../../config/values/kubernetes.ts'
import type { Converted } from '../flagger/from.ts'
import type { Field } from '../ledger.ts'
import { durationText, Names, wholeNumberOf } from '../values.ts'
import { type Find, queriesOf } from './metrics.ts'
import { stepsFromRollout } from './steps.ts'

type Section = Record<string, unknown>

/** Of Argo Rollouts. */
const progressDeadlineSeconds = 600

/** @throws ConfigError for a Rollout that is no canary */
export function canaryFromRollout(root: Field, find: Find): Converted {
  const strategy = root.get('spec', 'strategy')
  const canary = strategy.get('canary')
  if (!canary.given) {
    const blueGreen = strategy.get('blueGreen')
    const field = blueGreen.given ? blueGreen : strategy
    field.fail(
      'the strategy `canary`, because a blue/green Rollout switches Services and moves no weights; write `steps: [100]`, ' +
        'with two Deployments, by hand',
    )
  }
  const istio = canary.get('trafficRouting', 'istio')
  if (!istio.given)
    canary.assume('it has no Istio routing, so Argo Rollouts moves replicas; here the weights of routes move')
  const versions = versionsOf(canary, istio)
  const service = serviceOf(root, canary, istio, find)
  takeName(root, service)
  const max = canary.get('trafficRouting', 'maxTrafficWeight')
  const allWeight = wholeNumberOf(max, 1, 1_000_000) ?? 100
  max.leave('the steps are per cent of it')
  const steps = stepsFromRollout(canary.get('steps'), !('service' in Object(versions['stable'])), allWeight)
  const analyses = [
    { field: canary.get('analysis'), isInline: false },
    ...canary
      .get('steps')
      .items()
      .map((step) => ({ field: step.get('analysis'), isInline: true })),
  ]
  const { queries, prometheus } = queriesOf(analyses, root, find, new Names())
  canary.assume('99% of the responses have to succeed: `checks.successRate` is always there')
  return {
    service,
    policy: {},
    canary: {
      service,
      ...versions,
      ...routesOf(istio),
      ...steps,
      progressDeadline: progressDeadline(root.get('spec')),
      ...(Object.keys(queries).length > 0 ? { checks: { queries } } : {}),
      ...(Object.keys(prometheus).length > 0 ? { prometheus } : {}),
    },
  }
}

/** Two subsets of a Service, or two Services. */
function versionsOf(canary: Field, istio: Field): Section {
  const rule = istio.get('destinationRule')
  const [stableService, canaryService] = [canary.get('stableService'), canary.get('canaryService')]
  if (rule.given) {
    for (const field of [stableService, canaryService])
      field.leave('the subsets of the DestinationRule tell the versions apart')
    return { stable: subset(rule.get('stableSubsetName')), canary: subset(rule.get('canarySubsetName')) }
  }
  if (stableService.given && canaryService.given)
    return { stable: { service: serviceName(stableService) }, canary: { service: serviceName(canaryService) } }
  canary.assume('it names neither two subsets nor two Services, so the versions are the subsets v1 and v2')
  return {}
}

function subset(field: Field): unknown {
  if (!dnsName.test(field.text() ?? '')) field.fail('the name of a subset: lower-case letters, digits and dashes')
  return field.take()
}

function serviceName(field: Field): unknown {
  if (!dnsName.test(field.text() ?? '')) field.fail('a Kubernetes name')
  return field.take()
}

/** The Service whose traffic moves: the host of the DestinationRule or of the VirtualService, as far as the input has it. */
function serviceOf(root: Field, canary: Field, istio: Field, find: Find): string {
  const virtualServices = [istio.get('virtualService'), ...istio.get('virtualServices').items()].filter(
    ({ given }) => given,
  )
  const rule = istio.get('destinationRule', 'name')
  const stable = canary.get('stableService').text()
  const hosts = virtualServices.flatMap((each) => {
    const [, name = '', namespace] = /^(.*?)(?:\.([^.]*))?$/.exec(each.get('name').text() ?? '') ?? []
    return (
      find('VirtualService', namespace, name)
        ?.get('spec', 'hosts')
        .items()
        .map((host) => host.value) ?? []
    )
  })
  const host = rule.given ? find('DestinationRule', undefined, rule.text() ?? '')?.get('spec', 'host').value : undefined
  const known = [host, ...hosts].map(ofMesh).find((name) => name !== undefined)
  const service = known ?? stable ?? root.object.name
  if (known === undefined)
    root.assume(
      `the Service is taken to be ${service}, because the input does not show it; give the file of the VirtualService and of ` +
        'the DestinationRule too, or correct `service`',
    )
  for (const field of [rule, ...virtualServices.map((each) => each.get('name'))])
    if (field.value === service) field.take()
    else field.leave('every route that splits between the two versions moves, whatever the name of its object')
  return service
}

/** The name of a Service, if the host is one. */
function ofMesh(host: unknown): string | undefined {
  if (typeof host !== 'string') return undefined
  return /^([a-z0-9-]+)(?:\.[a-z0-9-]+(?:\.svc(?:\.cluster\.local)?)?)?$/.exec(host)?.[1]
}

function takeName(root: Field, service: string): void {
  const name = root.get('metadata', 'name')
  if (!dnsName.test(service)) name.fail('a Kubernetes name')
  if (name.value === service) name.take()
  else name.leave(`a canary is named after its Service: ${service}`)
}

function routesOf(istio: Field): Section {
  const virtualServices = [istio.get('virtualService'), ...istio.get('virtualServices').items()].filter(
    ({ given }) => given,
  )
  const fields = virtualServices.map((each) => each.get('routes'))
  const named = fields.map((field) => field.items().map(({ value }) => value))
  const isAll = named.some((names) => names.length === 0)
  for (const field of fields)
    if (isAll)
      field.leave(
        'another VirtualService names no routes, and `routes` would be for both: every route that splits moves',
      )
    else field.take()
  if (isAll || named.length === 0) return {}
  for (const key of ['tlsRoutes', 'tcpRoutes'])
    for (const each of virtualServices)
      each
        .get(key)
        .leave(
          'with `routes`, only the HTTP routes of these names move: these keep their weights, unless you remove `routes`',
        )
  return { routes: [...new Set(named.flat())] }
}

function progressDeadline(spec: Field): string {
  const [field, abort] = [spec.get('progressDeadlineSeconds'), spec.get('progressDeadlineAbort')]
  const seconds = wholeNumberOf(field, 1, 2_000_000) ?? progressDeadlineSeconds
  field.take()
  if (abort.value === true) abort.take()
  else if (abort.given) abort.leave('a canary that makes no progress is always rolled back')
  else abort.assume('a canary that makes no progress is rolled back; Argo Rollouts would only say so')
  return durationText(seconds * 1000)
}
