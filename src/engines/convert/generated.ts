// What is generated from a section `canary`, with an account of the keys that it uses.
import { withoutUndefined } from '../../runtime/without-undefined.ts'
import { httpRoutes } from '../../policies/compile/http.ts'
import { destinationRules } from '../../policies/compile/destination-rule.ts'
import type { KubeObject } from '../../cluster/objects.ts'
import type { CanaryConfig, Config, ServicePolicy } from '../../config/schema.ts'
import type { Path } from '../../yaml/positions.ts'
import { Names } from './values.ts'

export type EngineObject = KubeObject & { spec: Record<string, unknown> }

/**
 * `path`: of the config. `left`: the objects do not have it; `differs`: they have it, with another meaning. `assumed`: the
 * objects say more than the config.
 */
export type KeyNote = { about: 'left' | 'differs' | 'assumed'; path: Path; says: string }

/**
 * `objects`: without labels, in the config's namespace. `taken`: paths of the config that the objects express. Every other
 * key of the canary, and of its service, has no effect on them; `notes` says more about some.
 */
export type Generated = { objects: EngineObject[]; taken: Path[]; notes: KeyNote[] }

/** Notes which keys of one canary, and of its service, a generator uses. */
export class Keys {
  readonly taken: Path[] = []
  readonly notes: KeyNote[] = []
  private readonly section: Path
  private readonly service: Path

  constructor({ canary, canaries = [] }: Config, plan: CanaryConfig) {
    this.section = canary ? ['canary'] : ['canaries', canaries.indexOf(plan)]
    this.service = ['services', plan.service]
  }

  /** Keys of the canary. */
  take(...keys: Path): void {
    this.taken.push([...this.section, ...keys])
  }

  takeOfService(...keys: Path): void {
    this.taken.push([...this.service, ...keys])
  }

  leave(path: Path, says: string): void {
    this.notes.push({ about: 'left', path: [...this.section, ...path], says })
  }

  leaveOfService(path: Path, says: string): void {
    this.notes.push({ about: 'left', path: [...this.service, ...path], says })
  }

  differ(path: Path, says: string): void {
    this.notes.push({ about: 'differs', path: [...this.section, ...path], says })
    this.take(...path)
  }

  assume(path: Path, says: string): void {
    this.notes.push({ about: 'assumed', path: [...this.section, ...path], says })
  }

  assumeOfService(path: Path, says: string): void {
    this.notes.push({ about: 'assumed', path: [...this.service, ...path], says })
  }
}

/** The metrics of requests. A query has another name, because Flagger, and a Rollout, have one metric of a name. */
const requestMetricNames = ['request-success-rate', 'request-duration']

/** The queries of the canary with the names of their metrics. */
export function namedQueries({ checks }: CanaryConfig, keys: Keys): [name: string, metric: string, query: Query][] {
  const names = new Names()
  for (const name of requestMetricNames) names.free(name)
  return Object.entries(checks.queries).map(([name, query]) => {
    const metric = names.free(name)
    if (metric !== name)
      keys.differ(['checks', 'queries', name, 'query'], `its name is that of a metric of requests: ${metric}`)
    return [name, metric, query]
  })
}

/** A Service has no dot in its name, so no two canaries make the same one. */
export function templateName({ service }: CanaryConfig, metric: string): string {
  return `${service}.${metric}`
}

type Query = CanaryConfig['checks']['queries'][string]

type Section = Record<string, unknown>

type Policy = Pick<ServicePolicy, 'timeout' | 'retries' | 'loadBalancer' | 'circuitBreaker'>

/** What the policies of the service compile to, in Istio's form: `timeout`, `retries` and `trafficPolicy`. */
export function istioPolicy(
  config: Config,
  service: string,
  { timeout, retries, loadBalancer, circuitBreaker }: Policy,
): Section {
  const routes = httpRoutes(
    service,
    { ...noPolicy, ...withoutUndefined({ timeout, retries }) },
    { namespace: config.namespace },
    {},
    0,
  )
  const { timeout: limit, retries: tries } = (routes?.at(-1) ?? {}) as Section
  const rule = destinationRules({
    ...config,
    canary: undefined,
    canaries: undefined,
    services: { [service]: { ...noPolicy, ...withoutUndefined({ loadBalancer, circuitBreaker, retries }) } },
  })
  const { trafficPolicy } = (rule[0]?.spec ?? {}) as Section
  return withoutUndefined({ timeout: limit, retries: tries, trafficPolicy })
}

const noPolicy: ServicePolicy = {}
