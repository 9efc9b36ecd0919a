// What a single key cannot tell: contradictions between keys.
import { valid } from 'semver'
import { ConfigError } from './error.ts'
import { abRouteName, canariesOf, defaultDenyName, requiredName, routeName, servicesOf } from './names.ts'
import {
  stageNames,
  type CanaryConfig,
  type Config,
  type Exposure,
  type ServicePolicy,
  type StageName,
} from './schema.ts'
import type { Source } from './source.ts'

export function findFaults(config: Config, where: Source['where']): void {
  const faults = [
    ...Object.entries(servicesOf(config)).flatMap(([name, service]) =>
      [...serviceFaults(service), ...subsetFaults(service)].map(([key, fault]) =>
        at(['services', name, ...key.split('.')], fault),
      ),
    ),
    ...istioFaults(config).map(([key, fault]) => at(['istio', key], fault)),
    ...nameFaults(config).map(([key, fault]) => at(key.split('.'), fault)),
    ...exposeFaults(config).map(([path, fault]) => at(['expose', ...path], fault)),
    ...canaryFaults(config).map(([path, fault]) => at(path, fault)),
    ...versionFaults(config).map((fault) => at(['istio', 'sha256'], fault)),
    ...clusterFaults(config).map(([key, fault]) => at(key.split('.'), fault)),
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
    if (missing.length > 0)
      faults.push([
        'traffic',
        `names ${missing.join(', ')}, which \`subsets\` does not define; add it there with its labels`,
      ])
  }
  if (timeout !== undefined && retries?.perTryTimeout !== undefined && retries.perTryTimeout > timeout)
    faults.push([
      'retries',
      `perTryTimeout (${retries.perTryTimeout} ms) is longer than the timeout of the whole request (${timeout} ms), so it never ends a try; make it shorter`,
    ])
  return faults
}

function istioFaults({ istio }: Config): [string, string][] {
  if (!istio?.tag) return []
  if (istio.revision === undefined)
    return [['tag', 'points to nothing; give the `revision` that it is to point to as well']]
  return istio.tag === istio.revision && istio.tag !== 'default'
    ? [
        [
          'tag',
          `is the name of the revision itself (${istio.revision}), which a tag would hide; choose another one, or leave it out`,
        ],
      ]
    : []
}

/** A/B routes and the mirror go to subsets that are there, and each route has a name of its own. */
function subsetFaults({ subsets = {}, routes = [], mirror }: ServicePolicy): [string, string][] {
  const unknown = (subset: string) => `names ${subset}, which \`subsets\` does not define; add it there with its labels`
  const names = routes.map(({ name }) => name)
  return [
    ...routes.flatMap(({ to }, i): [string, string][] => (to in subsets ? [] : [[`routes.${i}.to`, unknown(to)]])),
    ...(mirror && !(mirror.to in subsets) ? [['mirror.to', unknown(mirror.to)] satisfies [string, string]] : []),
    ...names.flatMap((name, i): [string, string][] => {
      if (name === abRouteName)
        return [
          [
            `routes.${i}.name`,
            `${abRouteName} is the route of a canary's \`ab\`, which comes and goes; choose another name`,
          ],
        ]
      if (name === routeName)
        return [[`routes.${i}.name`, `${routeName} is the route that splits the traffic; choose another name`]]
      return name !== undefined && names.indexOf(name) < i
        ? [[`routes.${i}.name`, `${name} is the name of an earlier route as well; choose another one`]]
        : []
    }),
  ]
}

/** Two sections that would write an object of the same kind and name. */
function nameFaults({ mtls, authorization, jwt = {} }: Config): [string, string][] {
  const rules = authorization?.rules ?? {}
  return [
    ...(mtls?.workloads['default']
      ? [
          [
            'mtls.workloads.default',
            'default is the name of the policy of the whole namespace; choose another one',
          ] satisfies [string, string],
        ]
      : []),
    ...(rules[defaultDenyName]
      ? [
          [
            `authorization.rules.${defaultDenyName}`,
            `${defaultDenyName} is the name of what \`defaultDeny\` writes; choose another one`,
          ] satisfies [string, string],
        ]
      : []),
    ...Object.keys(jwt)
      .filter((name) => rules[requiredName(name)])
      .map((name): [string, string] => [
        `authorization.rules.${requiredName(name)}`,
        `${requiredName(name)} is the name of what \`jwt.${name}\` writes; choose another one`,
      ]),
  ]
}

function exposeFaults(config: Config): [string[], string][] {
  const all = Object.entries(config.expose ?? {})
  return all.flatMap(([name, exposure], i) => [
    ...exposureFaults(
      exposure,
      servicesOf(config)[name],
      canariesOf(config).some(({ service }) => service === name),
    ).map(([key, fault]): [string[], string] => [[name, key], fault]),
    ...exposure.hosts.flatMap((host): [string[], string][] => {
      const other = all.slice(0, i).find(([, each]) => each.gateway === exposure.gateway && each.hosts.includes(host))
      return other
        ? [
            [
              [name, 'hosts'],
              `${host} is already given to ${other[0]} on the same gateway; give each service its own host`,
            ],
          ]
        : []
    }),
  ])
}

function exposureFaults(
  { tls, httpsRedirect, api, gateway }: Exposure,
  service: ServicePolicy = {},
  isCanary: boolean,
): [string, string][] {
  const faults: [string, string][] = []
  if (httpsRedirect && !tls)
    faults.push(['httpsRedirect', 'there is no HTTPS to redirect to; give `tls` with its `secret`'])
  if (api === 'istio')
    return gateway.includes('/')
      ? [
          ...faults,
          [
            'gateway',
            `${gateway} is not a label; give the label \`istio\` of the gateway's pods, such as ingressgateway`,
          ],
        ]
      : faults
  if (tls)
    faults.push(['tls', 'with `api: gateway-api` the certificate belongs to the Gateway object; leave it out here'])
  const beyond = (['traffic', 'routes', 'mirror', 'fault', 'retries'] as const).filter((key) => service[key])
  if (isCanary || beyond.length > 0)
    faults.push([
      'api',
      `an HTTPRoute cannot follow ${isCanary ? 'a canary' : beyond.join(', ')} of the service, for it knows no subsets; use \`api: istio\``,
    ])
  return faults
}

function canaryFaults(config: Config): [string[], string][] {
  const { canary, canaries } = config
  if (canary && canaries)
    return [
      [
        ['canaries'],
        'is given beside `canary`, of which inputs such as `interval` and `metrics` are a part; give one of the two',
      ],
    ]
  return canariesOf(config).flatMap((plan, i) => {
    const path = canary ? ['canary'] : ['canaries', String(i)]
    const twice = canariesOf(config).findIndex(({ service }) => service === plan.service) < i
    return [
      ...(twice
        ? [
            [
              [...path, 'service'],
              `${plan.service} has a canary already; one service is promoted once in a run`,
            ] satisfies [string[], string],
          ]
        : []),
      ...loadFaults(config, plan).map(([key, fault]): [string[], string] => [[...path, ...key], fault]),
      ...planFaults(plan).map(([key, fault]): [string[], string] => [[...path, ...key.split('.')], fault]),
    ]
  })
}

function loadFaults({ expose }: Config, { service, load }: CanaryConfig): [string[], string][] {
  if (!load) return []
  const exposure = expose?.[service]
  if (exposure?.api !== 'istio')
    return [[['load'], `needs a way in: expose ${service} through a gateway (\`expose\`), or leave it out`]]
  return exposure.tls && exposure.httpsRedirect !== false
    ? [
        [
          ['load'],
          `speaks plain HTTP, which ${service} answers with a redirect; leave it out, or set \`expose.${service}.httpsRedirect: false\``,
        ],
      ]
    : []
}

function planFaults({
  stable,
  canary,
  pollInterval,
  interval,
  minInterval,
  advance,
  until,
  steps,
  checks,
  prometheus,
  ab,
}: CanaryConfig): [string, string][] {
  const faults: [string, string][] = []
  if (stable.by !== canary.by)
    faults.push(['canary', `is a ${canary.by} and stable a ${stable.by}; make both subsets, or both Services`])
  if (stable.name === canary.name)
    faults.push(['canary', `is the same ${canary.by} as stable (${stable.name}); name the new one`])
  if (pollInterval < 1000)
    faults.push([
      'pollInterval',
      `(${pollInterval} ms) is shorter than a second, which the sidecars and the API server are not to be asked more often than; make it 1s`,
    ])
  if (pollInterval > interval)
    faults.push(['pollInterval', `(${pollInterval} ms) is longer than interval (${interval} ms); make it shorter`])
  if (advance === 'early' && minInterval > interval)
    faults.push(['minInterval', `(${minInterval} ms) is longer than interval (${interval} ms); make it shorter`])
  if (until !== undefined && !steps.includes(until))
    faults.push(['until', `${until} is none of the steps (${steps.join(', ')}); name one of them`])
  if (Object.keys(checks.queries).length > 0 && !prometheus)
    faults.push(['checks.queries', 'there is nobody to ask; say where Prometheus is under `prometheus`'])
  if (ab && stable.by === 'service') faults.push(['ab', 'needs subsets; give stable and canary as subsets'])
  return faults
}

function versionFaults({ istio }: Config): string[] {
  if (istio?.sha256 === undefined || valid(istio.version) !== null) return []
  return [
    `is the checksum of one version, and \`version\` (${istio.version}) may be several; give an exact one, or leave the checksum out`,
  ]
}

/** Two ways of saying which cluster, or what it looks like. */
function clusterFaults({ cluster, kubeconfig, context }: Config): [string, string][] {
  if (!cluster) return []
  const { config, image, kubernetes, ports } = cluster
  const faults: [string, string][] = []
  if (kubeconfig !== undefined)
    faults.push(['cluster', 'is given beside `kubeconfig`, and a run acts on one cluster; leave one of the two out'])
  if (context !== undefined)
    faults.push(['cluster', 'is given beside `context`, which chooses in a kubeconfig; leave one of the two out'])
  const twice = (['nodes', 'image', 'kubernetes', 'ports'] as const).filter((key) => cluster[key] !== undefined)
  if (config !== undefined && twice.length > 0)
    faults.push([
      'cluster.config',
      `${config} says what the nodes are, and so ${twice.length === 1 ? 'does' : 'do'} ${twice.map((key) => `\`${key}\``).join(', ')}; put it into the file, or leave the file out`,
    ])
  if (image !== undefined && kubernetes !== undefined)
    faults.push([
      'cluster.kubernetes',
      `${kubernetes} is given beside \`image\`, which brings its own; leave one of the two out`,
    ])
  if (ports && ports.http === ports.https) faults.push(['cluster.ports', `both are ${ports.http}; give two`])
  return faults
}

/** What each stage cannot do without. */
const needs: Partial<Record<StageName, (config: Config) => string | undefined>> = {
  cluster: ({ cluster }) => (cluster ? undefined : 'give `cluster: kind`'),
  install: ({ istio }) => (istio ? undefined : 'give `istio`, or at least `istio-version`'),
  inject: ({ workloads }) => (workloads ? undefined : 'give `workloads`, or `workloads: all`'),
  plan: policiesNeed,
  policies: policiesNeed,
  retire: ({ istio }) => (istio?.removeOld ? undefined : 'set `istio.removeOld`'),
  uninstall: ({ istio }) =>
    istio ? undefined : 'give `istio-version`, for it is istioctl that removes the control plane',
  promote: canaryNeed,
  rollback: canaryNeed,
}

function canaryNeed(config: Config): string | undefined {
  return canariesOf(config).length > 0 ? undefined : 'give `canary`'
}

function policiesNeed({
  mtls,
  services,
  canary,
  canaries,
  authorization,
  jwt,
  egress,
  scope,
  expose,
  telemetry,
  policies,
}: Config): string | undefined {
  const given =
    mtls ?? services ?? canary ?? canaries ?? authorization ?? jwt ?? egress ?? scope ?? expose ?? telemetry ?? policies
  return given
    ? undefined
    : 'give `mtls` or `services`, or another section that is a policy; an empty one (`services: {}`) takes away what this config wrote before'
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
  const all: StageName[] = ['cluster', 'install', 'inject', 'policies', 'verify', 'retire', 'promote']
  const working = all.filter((stage) => stage !== 'verify' && needs[stage]?.(config) === undefined)
  return all.filter(
    (stage) =>
      working.includes(stage) ||
      (stage === 'verify' && working.some((each) => each !== 'cluster' && each !== 'install' && each !== 'retire')),
  )
}
