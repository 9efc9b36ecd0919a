// Contradictions in the promotions.
import { allCanariesOf } from '../names.ts'
import type { CanaryConfig, Config } from '../schema.ts'
import { withPrefix, type Fault } from './fault.ts'
import { loadFaults } from './load.ts'
import { releaseFaults } from './release.ts'

export const minimumPollIntervalMs = 250

export function canaryFaults(config: Config): Fault[] {
  const { canary, canaries } = config
  if (canary && canaries)
    return [
      {
        path: ['canaries'],
        message:
          'both `canaries` and `canary` are given (inputs such as `interval` and `metrics` belong to `canary`); ' +
          'give one of the two',
      },
    ]
  return allCanariesOf(config).flatMap((plan, i) => {
    const section = canary ? ['canary'] : ['canaries', String(i)]
    return [
      ...withPrefix(section, duplicateFaults(config, plan.service, i)),
      ...(plan.engine.type === 'builtin'
        ? ownFaults(config, plan, section)
        : withPrefix(section, followedFaults(config, plan))),
    ]
  })
}

/** Of a canary whose traffic a controller moves, which this program judges all the same. */
function followedFaults({ services, expose }: Config, plan: CanaryConfig): Fault[] {
  const { service, pollInterval, engine } = plan
  const policy = Object.keys(services?.[service] ?? {}).filter((key) => key !== 'port')
  const writes = (what: string) =>
    `${what} of ${service} would be written over the routes of ${engine.type}; write it in the object of ${engine.type}, and remove it here`
  return [
    ...(pollInterval < minimumPollIntervalMs ? [tooShort(pollInterval)] : []),
    ...needFaults(plan),
    ...checkNameFaults(plan),
    ...(policy.length > 0 && !engine.generate
      ? [{ path: ['engine'], message: writes(`\`services.${service}\` (${policy.join(', ')})`) }]
      : []),
    ...(expose?.[service] && (!engine.generate || engine.type === 'flagger')
      ? [{ path: ['engine'], message: writes(`\`expose.${service}\``) }]
      : []),
  ]
}

/** Of a canary whose traffic this program moves. */
function ownFaults(config: Config, plan: CanaryConfig, section: string[]): Fault[] {
  return [
    ...withPrefix(section, [
      ...(plan.load ? loadFaults(config, plan.service) : []),
      ...versionFaults(plan),
      ...timeFaults(plan),
      ...needFaults(plan),
      ...checkNameFaults(plan),
    ]),
    ...releaseFaults(config, plan, section),
  ]
}

function duplicateFaults(config: Config, service: string, index: number): Fault[] {
  const isDuplicate = allCanariesOf(config).findIndex((each) => each.service === service) < index
  if (!isDuplicate) return []
  const message = `${service} already has a canary; a run promotes each service once, so remove one of them`
  return [{ path: ['service'], message }]
}

function versionFaults({ stable, canary }: CanaryConfig): Fault[] {
  const path = ['canary']
  return [
    ...(stable.by === canary.by
      ? []
      : [
          {
            path,
            message:
              `${canary.name} is a ${canary.by}, but stable (${stable.name}) is a ${stable.by}; ` +
              'make both subsets, or both Services',
          },
        ]),
    ...(stable.name === canary.name
      ? [{ path, message: `${canary.name} is the same ${canary.by} as stable; name the new version` }]
      : []),
  ]
}

function timeFaults({ pollInterval, interval, minInterval, advance }: CanaryConfig): Fault[] {
  const tooLong = (key: string, ms: number) => ({
    path: [key],
    message: `${ms} ms is longer than \`interval\` (${interval} ms); make it shorter`,
  })
  return [
    ...(pollInterval < minimumPollIntervalMs ? [tooShort(pollInterval)] : []),
    ...(pollInterval > interval ? [tooLong('pollInterval', pollInterval)] : []),
    ...(advance === 'early' && minInterval > interval ? [tooLong('minInterval', minInterval)] : []),
  ]
}

function tooShort(pollInterval: number): Fault {
  const message =
    `${pollInterval} ms is too short for the sidecars and the API server; ` +
    `make it ${minimumPollIntervalMs}ms or longer`
  return { path: ['pollInterval'], message }
}

/** Keys that need other keys. */
function needFaults({ until, steps, checks, prometheus, ab, stable }: CanaryConfig): Fault[] {
  return [
    ...(until === undefined || steps.includes(until)
      ? []
      : [{ path: ['until'], message: `${until} is not one of the steps (${steps.join(', ')}); choose one of them` }]),
    ...(Object.keys(checks.queries).length > 0 && !prometheus
      ? [{ path: ['checks', 'queries'], message: 'needs Prometheus; set `prometheus.address` or `prometheus.service`' }]
      : []),
    ...(ab && stable.by === 'service'
      ? [{ path: ['ab'], message: 'needs subsets; give stable and canary as subsets, not as Services' }]
      : []),
  ]
}

/** The promotion knows the last answer of each check by its name, so one would replace the answer of the other. */
function checkNameFaults({ checks: { queries, commands }, webhooks }: CanaryConfig): Fault[] {
  const inSteps = Object.entries(webhooks).filter(([, { type }]) => type === 'rollout')
  const paths = [
    ...Object.keys(queries).map((name) => ['checks', 'queries', name]),
    ...Object.keys(commands).map((name) => ['checks', 'commands', name]),
    ...inSteps.map(([name]) => ['webhooks', name]),
  ]
  return paths.flatMap((path, i) => {
    const other = paths.slice(0, i).find((earlier) => earlier.at(-1) === path.at(-1))
    if (!other) return []
    const message =
      `\`${other.join('.')}\` has the same name, and a promotion tells the answers of its checks apart by name; ` +
      'rename one of the two'
    return [{ path, message }]
  })
}
