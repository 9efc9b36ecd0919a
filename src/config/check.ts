// What a single key cannot tell: contradictions between keys.
import { ConfigError } from './error.ts'
import { requiredName } from '../policies/compile/authentication.ts'
import { defaultDenyName } from '../policies/compile/authorization.ts'
import { routeName, servicesOf } from '../policies/compile/names.ts'
import { stageNames, type Config, type Exposure, type ServicePolicy, type StageName } from './schema.ts'
import type { Source } from './source.ts'

export function check(config: Config, where: Source['where']): void {
  const faults = [
    ...Object.entries(servicesOf(config)).flatMap(([name, service]) => [...serviceFaults(service), ...subsetFaults(service)].map(([key, fault]) => at(['services', name, ...key.split('.')], fault))),
    ...nameFaults(config).map(([key, fault]) => at(key.split('.'), fault)),
    ...exposeFaults(config).map(([path, fault]) => at(['expose', ...path], fault)),
    ...canaryFaults(config).map(([key, fault]) => at(['canary', key], fault)),
    ...stageFaults(config).map((fault) => at(['stages'], fault)),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))

  function at(path: string[], fault: string): string {
    return `${where(path)}: ${path.join('.')}: ${fault}`
  }
}

function serviceFaults({ traffic, subsets, retries, timeout }: ServicePolicy): [string, string][] {
  const faults: [string, string][] = []
  if (traffic) {
    const sum = Object.values(traffic).reduce((total, weight) => total + weight, 0)
    if (sum !== 100) faults.push(['traffic', `the weights add up to ${sum}; make them add up to 100`])
    const missing = Object.keys(traffic).filter((name) => !subsets?.[name])
    if (missing.length > 0) faults.push(['traffic', `names ${missing.join(', ')}, which \`subsets\` does not define; add it there with its labels`])
  }
  if (timeout !== undefined && retries?.perTryTimeout !== undefined && retries.perTryTimeout > timeout)
    faults.push(['retries', `perTryTimeout (${retries.perTryTimeout} ms) is longer than the timeout of the whole request (${timeout} ms), so it never ends a try; make it shorter`])
  return faults
}

/** A/B routes and the mirror go to subsets that are there, and each route has a name of its own. */
function subsetFaults({ subsets = {}, routes = [], mirror }: ServicePolicy): [string, string][] {
  const unknown = (subset: string) => `names ${subset}, which \`subsets\` does not define; add it there with its labels`
  const names = routes.map(({ name }) => name)
  return [
    ...routes.flatMap(({ to }, i): [string, string][] => (to in subsets ? [] : [[`routes.${i}.to`, unknown(to)]])),
    ...(mirror && !(mirror.to in subsets) ? [['mirror.to', unknown(mirror.to)] satisfies [string, string]] : []),
    ...names.flatMap((name, i): [string, string][] => {
      if (name === routeName) return [[`routes.${i}.name`, `${routeName} is the route that splits the traffic; choose another name`]]
      return name !== undefined && names.indexOf(name) < i ? [[`routes.${i}.name`, `${name} is the name of an earlier route as well; choose another one`]] : []
    }),
  ]
}

/** Two sections that would write an object of the same kind and name. */
function nameFaults({ mtls, authorization, jwt = {} }: Config): [string, string][] {
  const rules = authorization?.rules ?? {}
  return [
    ...(mtls?.workloads['default'] ? [['mtls.workloads.default', 'default is the name of the policy of the whole namespace; choose another one'] satisfies [string, string]] : []),
    ...(rules[defaultDenyName] ? [[`authorization.rules.${defaultDenyName}`, `${defaultDenyName} is the name of what \`defaultDeny\` writes; choose another one`] satisfies [string, string]] : []),
    ...Object.keys(jwt).filter((name) => rules[requiredName(name)]).map((name): [string, string] => [`authorization.rules.${requiredName(name)}`, `${requiredName(name)} is the name of what \`jwt.${name}\` writes; choose another one`]),
  ]
}

function exposeFaults(config: Config): [string[], string][] {
  const all = Object.entries(config.expose ?? {})
  return all.flatMap(([name, exposure], i) => [
    ...exposureFaults(exposure, servicesOf(config)[name], config.canary?.service === name).map(([key, fault]): [string[], string] => [[name, key], fault]),
    ...exposure.hosts.flatMap((host): [string[], string][] => {
      const other = all.slice(0, i).find(([, each]) => each.gateway === exposure.gateway && each.hosts.includes(host))
      return other ? [[[name, 'hosts'], `${host} is already given to ${other[0]} on the same gateway; give each service its own host`]] : []
    }),
  ])
}

function exposureFaults({ tls, httpsRedirect, api, gateway }: Exposure, service: ServicePolicy = {}, isCanary: boolean): [string, string][] {
  const faults: [string, string][] = []
  if (httpsRedirect && !tls) faults.push(['httpsRedirect', 'there is no HTTPS to redirect to; give `tls` with its `secret`'])
  if (api === 'istio') return gateway.includes('/') ? [...faults, ['gateway', `${gateway} is not a label; give the label \`istio\` of the gateway's pods, such as ingressgateway`]] : faults
  if (tls) faults.push(['tls', 'with `api: gateway-api` the certificate belongs to the Gateway object; leave it out here'])
  const beyond = (['traffic', 'routes', 'mirror', 'fault', 'retries'] as const).filter((key) => service[key])
  if (isCanary || beyond.length > 0) faults.push(['api', `an HTTPRoute cannot follow ${isCanary ? 'a canary' : beyond.join(', ')} of the service, for it knows no subsets; use \`api: istio\``])
  return faults
}

function canaryFaults({ canary }: Config): [string, string][] {
  if (!canary) return []
  const faults: [string, string][] = []
  if (canary.stable === canary.canary) faults.push(['canary', `is the same subset as stable (${canary.stable}); name the new one`])
  if (canary.tick > canary.interval) faults.push(['tick', `(${canary.tick} ms) is longer than interval (${canary.interval} ms); make it shorter`])
  return faults
}

/** What each stage cannot do without. */
const needs: Partial<Record<StageName, (config: Config) => string | undefined>> = {
  install: ({ istio }) => (istio ? undefined : 'give `istio`, or at least `istio-version`'),
  inject: ({ workloads }) => (workloads ? undefined : 'give `workloads`, or `workloads: all`'),
  plan: policiesNeed,
  policies: policiesNeed,
  uninstall: ({ istio }) => (istio ? undefined : 'give `istio-version`, for it is istioctl that removes the control plane'),
  promote: ({ canary }) => (canary ? undefined : 'give `canary`'),
}

function policiesNeed({ mtls, services, canary, authorization, jwt, egress, scope, expose, telemetry, policies }: Config): string | undefined {
  const given = mtls ?? services ?? canary ?? authorization ?? jwt ?? egress ?? scope ?? expose ?? telemetry ?? policies
  return given ? undefined : 'give `mtls` or `services`, or another section that is a policy'
}

function stageFaults(config: Config): string[] {
  return (config.stages ?? []).flatMap((stage) => {
    const need = needs[stage]?.(config)
    return need ? [`${stage} has nothing to do: ${need}`] : []
  })
}

/** The stages of this run, in their order: those listed, or those that have something to do. Some run only when listed. */
export function stagesOf(config: Config): StageName[] {
  if (config.stages) return stageNames.filter((stage) => config.stages!.includes(stage))
  const all: StageName[] = ['install', 'inject', 'policies', 'verify', 'promote']
  const working = all.filter((stage) => stage !== 'verify' && needs[stage]?.(config) === undefined)
  return all.filter((stage) => working.includes(stage) || (stage === 'verify' && working.some((each) => each !== 'install')))
}
