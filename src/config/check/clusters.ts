// Contradictions about a fleet: clusters that are the same one, and keys that are about one cluster.
import { allCanariesOf, canaryKey } from '../names.ts'
import type { Config } from '../schema.ts'
import { engineTitles } from '../schema/engine.ts'
import type { Fault } from './fault.ts'

export function fleetFaults(config: Config): Fault[] {
  const { clusters } = config
  if (clusters === undefined) return []
  return Object.keys(clusters).length === 0
    ? [{ path: ['clusters'], message: 'has no cluster; name at least one, or remove the section' }]
    : [
        ...oneClusterFaults(config),
        ...edgeFaults(config),
        ...duplicateFaults(config, clusters),
        ...engineInFleetFaults(config, clusters),
      ]
}

/** A controller promotes by itself, and does not take back what it has promoted. */
function engineInFleetFaults(config: Config, clusters: NonNullable<Config['clusters']>): Fault[] {
  if (!config.together || Object.keys(clusters).length === 1) return []
  return allCanariesOf(config).flatMap(({ engine: { type } }, i) => {
    if (type === 'builtin') return []
    const message =
      `${engineTitles[type]} cannot return to stable in one cluster what it has promoted, when another cluster fails; ` +
      'set `together: false`, or promote each cluster in a run of its own'
    return [{ path: [...canaryKey(config, i).split('.'), 'engine'], message }]
  })
}

/** Keys that say which one cluster a run acts on. */
function oneClusterFaults({ cluster, context }: Config): Fault[] {
  return Object.entries({ cluster, context })
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({
      path: [key],
      message:
        `is about one cluster, and \`clusters\` names several; ` +
        (key === 'context' ? 'give each of them its own `context`' : 'remove one of the two'),
    }))
}

/** All clusters would lead the same API of Tyk to their own gateway. */
function edgeFaults({ edge }: Config): Fault[] {
  if (edge?.tyk === undefined) return []
  const message =
    'leads Tyk to the gateway of one cluster, and `clusters` names several; ' +
    'remove it here, and give each cluster that Tyk leads to a config of its own for the stage `edge`'
  return [{ path: ['edge', 'tyk'], message }]
}

function duplicateFaults(config: Config, clusters: NonNullable<Config['clusters']>): Fault[] {
  const seen = new Map<string, string>()
  return Object.entries(clusters).flatMap(([name, { kubeconfig = config.kubeconfig, context }]) => {
    const key = JSON.stringify([kubeconfig, context])
    const other = seen.get(key)
    seen.set(key, other ?? name)
    const message =
      `has the kubeconfig and the context of \`clusters.${other}\`, so both are the same cluster; ` +
      'give one of them another `context` or `kubeconfig`, or remove it'
    return other === undefined ? [] : [{ path: ['clusters', name], message }]
  })
}
