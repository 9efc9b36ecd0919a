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
  const steps = stepsFromRollout(canary, !('service' in Object(versions['stable'])))
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
    const { name, namespace } = placeOf(each)
    return (
      find('VirtualService', namespace, name)
        ?.get('spec', 'hosts')
        .items()
        .map((host) => host.value) ?? []
    )
  })
  const host = rule.given ? find('DestinationRule', undefined, rule.text() ?? '')?.get('spec', 'host').value : undefined
  const known = [host, ...hosts].map((each) => ofMesh(each, root.object.namespace)).find((name) => name !== undefined)
  const service = known ?? stable ?? root.object.name
  if (known === undefined)
    root.assume(
      `the Service is taken to be ${service}, because the input does not show it; give the file of the VirtualService and of ` +
        'the DestinationRule too, or correct `service`',
    )
  takeRouteNames(root, [rule, ...virtualServices.map((each) => each.get('name'))], service)
  return service
}

/** Argo Rollouts reads `name.namespace`; its own namespace has no need of a name. */
function placeOf(virtualService: Field): { name: string; namespace: string | undefined } {
  const parts = (virtualService.get('name').text() ?? '').replace(/\.cluster\.local$/, '').split('.')
  if (parts.length === 1) return { name: parts[0]!, namespace: undefined }
  return { name: parts.slice(0, -1).join('.'), namespace: parts.at(-1) }
}

function takeRouteNames(root: Field, fields: readonly Field[], service: string): void {
  for (const field of fields) {
    const [, other] = /\.([^.]+)$/.exec((field.text() ?? '').replace(/\.cluster\.local$/, '')) ?? []
    if (field.value === service) field.take()
    else if (other !== undefined && other !== root.object.namespace)
      field.leave(
        `it is in the namespace ${other}, and a run moves weights in its own namespace only: move the VirtualService, or promote ` +
          'in a file of that namespace',
      )
    else field.leave('every route that splits between the two versions moves, whatever the name of its object')
  }
}

/** The name of a Service of the namespace, if the host is one. `example.com` is none. */
function ofMesh(host: unknown, namespace: string | undefined): string | undefined {
  if (typeof host !== 'string') return undefined
  const found = /^([a-z0-9-]+)(?:\.([a-z0-9-]+)(\.svc(?:\.cluster\.local)?)?)?$/.exec(host)
  const [, name, own, suffix] = found ?? []
  const isOwn = own === undefined || (namespace === undefined ? suffix !== undefined : own === namespace)
  return isOwn ? name : undefined
}

function takeName(root: Field, service: string): void {
  const name = root.get('metadata', 'name')
  if (!dnsName.test(service)) name.fail('a Kubernetes name')
  if (name.value === service) name.take()
  else name.leave(`a canary is named after its Service: ${service}`)
}

/** One list of names for all VirtualServices. Without it, every route that splits between the two versions moves. */
function routesOf(istio: Field): Section {
  const all = [istio.get('virtualService'), ...istio.get('virtualServices').items()].filter(({ given }) => given)
  const lists = all.map((each) => each.get('routes'))
  const names = [...new Set(lists.flatMap((list) => list.items().map(({ value }) => value)))]
  if (names.length === 0) return {}
  const why = whyAllMove(all)
  if (why !== undefined) {
    for (const list of lists)
      list.leave(`${why}; so here every route that splits between the two versions moves, in each VirtualService`)
    return {}
  }
  for (const list of lists)
    if (list.items().length === names.length) list.take()
    else list.differ('a route with one of the names in `routes` moves in each VirtualService')
  return { routes: names }
}

/** Why a list of names would leave out routes that the Rollout moves. */
function whyAllMove(virtualServices: readonly Field[]): string | undefined {
  const isL4 = (each: Field) => ['tlsRoutes', 'tcpRoutes'].some((key) => each.get(key).items().length > 0)
  if (virtualServices.some(isL4)) return '`routes` names HTTP routes, and with it no TLS or TCP route would move'
  const open = virtualServices.find((each) => each.get('routes').items().length === 0)
  return open && `${open.get('name').text() ?? ''} names no routes, and with \`routes\` its route would not move`
}

function progressDeadline(spec: Field): string {
  const [field, abort] = [spec.get('progressDeadlineSeconds'), spec.get('progressDeadlineAbort')]
  const seconds = wholeNumberOf(field, 1, 2_000_000) ?? progressDeadlineSeconds
  field.take()
  if (abort.value === true) abort.take()
  else if (abort.given) abort.leave('a canary that makes no progress is always rolled back')
  else
    abort.assume(
      'a canary that makes no progress is rolled back at `progressDeadline`; Argo Rollouts only marks the Rollout as Degraded',
    )
  return durationText(seconds * 1000)
}
