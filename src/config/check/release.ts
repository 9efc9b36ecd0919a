// Contradictions in what a promotion releases.
import { createdCanaryName, releaseKeysOf } from '../names.ts'
import { withVersions } from '../release-defaults.ts'
import type { CanaryConfig, Config } from '../schema.ts'
import { withPrefix, type Fault } from './fault.ts'

/** `section`: the path of the canary. */
export function releaseFaults(config: Config, plan: CanaryConfig, section: string[]): Fault[] {
  const [key, ...others] = releaseKeysOf(plan)
  if (key === undefined) return withPrefix(section, faultsWithoutRelease(plan))
  const title = [...section, key].join('.')
  const faults = [
    ...others.map((other) => ({
      path: [other],
      message: `\`${key}\` says what to release already; give one of the two`,
    })),
    ...versionFaults(plan, key),
    ...nameFaults(plan),
    ...(plan.after === 'keep'
      ? [
          {
            path: ['after'],
            message: `keep would leave the traffic on a Deployment that the next release replaces; remove \`after\`, or \`${key}\``,
          },
        ]
      : []),
  ]
  return [...withPrefix(section, faults), ...trafficFaults(config, plan, title), ...stageFaults(config, title)]
}

function faultsWithoutRelease({ after, onFail, replicas }: CanaryConfig): Fault[] {
  const message = 'is for a canary that the run creates; set `image`, `images` or `manifests`, or remove it'
  return [
    ...(after === 'gitops' ? [{ path: ['after'], message: `gitops ${message}` }] : []),
    ...(onFail === 'delete' || onFail === 'keep' ? [{ path: ['onFail'], message: `${onFail} ${message}` }] : []),
    ...(replicas === undefined ? [] : [{ path: ['replicas'], message }]),
  ]
}

function versionFaults(plan: CanaryConfig, key: string): Fault[] {
  return (['stable', 'canary'] as const)
    .filter((role) => plan[role].by === 'service')
    .map((role) => ({
      path: [role],
      message: `the run chooses how it tells the versions apart; with \`${key}\` write a plain name, or nothing`,
    }))
}

const longestName = 63

function nameFaults({ service }: CanaryConfig): Fault[] {
  const name = createdCanaryName(service)
  if (name.length <= longestName) return []
  const message =
    `the canary would be named ${name}, which has ${name.length} characters, and Kubernetes allows ${longestName}; ` +
    'give the canary a Service with a shorter name'
  return [{ path: ['service'], message }]
}

/**
 * The weights of a release begin at 0, and only its promotion moves them. The run knows the labels of its versions.
 * `title`: the key that says what to release.
 */
function trafficFaults({ services = {} }: Config, plan: CanaryConfig, title: string): Fault[] {
  const { service, stable, canary } = withVersions(plan)
  const { traffic, subsets = {} } = services[service] ?? {}
  const path = ['services', service]
  const own = [stable.name, canary.name].filter((name) => Object.hasOwn(subsets, name))
  return [
    ...(traffic
      ? [
          {
            path: [...path, 'traffic'],
            message: `the promotion of \`${title}\` sets the weights of ${service}; remove \`traffic\``,
          },
        ]
      : []),
    ...own.map((name) => ({
      path: [...path, 'subsets', name],
      message: `with \`${title}\` the run finds the labels of ${name} in the cluster; remove the subset`,
    })),
  ]
}

function stageFaults({ stages = [] }: Config, title: string): Fault[] {
  if (!stages.includes('promote') || stages.includes('policies')) return []
  const message =
    `with \`${title}\` the stage promote needs the stage policies, which makes the routes to the two versions; ` +
    'add that stage'
  return [{ path: ['stages'], message }]
}
