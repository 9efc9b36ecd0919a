// Contradictions about the cluster: two ways to say which one, or two ways to say what it looks like.
import type { Config } from '../schema.ts'
import type { Fault } from './fault.ts'

export function clusterFaults(config: Config): Fault[] {
  return config.cluster ? [...targetFaults(config), ...layoutFaults(config.cluster)] : []
}

function targetFaults({ kubeconfig, context }: Config): Fault[] {
  const others = { kubeconfig, context }
  return Object.entries(others)
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({
      path: ['cluster'],
      message: `both \`cluster\` and \`${key}\` are given, and a run acts on one cluster; remove one of the two`,
    }))
}

function layoutFaults(cluster: NonNullable<Config['cluster']>): Fault[] {
  const { config, image, kubernetes, ports } = cluster
  const inFile = (['nodes', 'image', 'kubernetes', 'ports'] as const).filter((key) => cluster[key] !== undefined)
  return [
    ...(config !== undefined && inFile.length > 0
      ? [
          {
            path: ['cluster', 'config'],
            message:
              `the file ${config} defines the nodes, so it cannot be combined with ` +
              `${inFile.map((key) => `\`${key}\``).join(', ')}; put these settings into the file, or remove \`config\``,
          },
        ]
      : []),
    ...(image !== undefined && kubernetes !== undefined
      ? [
          {
            path: ['cluster', 'kubernetes'],
            message:
              `both \`kubernetes\` (${kubernetes}) and \`image\`, which has its own version, are given; ` +
              'remove one of the two',
          },
        ]
      : []),
    ...(ports && ports.http === ports.https
      ? [{ path: ['cluster', 'ports'], message: `\`http\` and \`https\` are both ${ports.http}; choose two ports` }]
      : []),
  ]
}
