// The folders of src from the lowest to the highest: each may import from those before it, and from itself.
// `npm run check` holds the imports to this order (dependency-cruiser, type imports included).
export const layers = [
  ['runtime'],
  ['yaml', 'statistics'],
  ['envoy'],
  ['config'],
  ['cluster'],
  ['tools'],
  ['istioctl', 'kind'],
  ['mesh'],
  ['policies'],
  ['observability'],
  ['edge'],
  ['verify'],
  ['uninstall'],
  ['canary'],
  ['experiments'],
  ['release'],
  ['engines'],
  ['simulate'],
  ['guard'],
  ['report'],
  ['run-telemetry'],
  ['stages'],
  ['run.ts', 'post.ts'],
  ['fleet'],
  ['action', 'cli'],
  ['index.ts', 'cli.ts'],
]

/** The same inside canary. */
export const canaryLayers = [
  ['workload', 'analysis'],
  ['state'],
  ['traffic'],
  ['ownership', 'metrics', 'hooks', 'load'],
  ['controller'],
  ['active-promotion.ts'],
  ['other-clusters.ts'],
  ['waves.ts'],
  ['start-wave.ts'],
  ['promote.ts', 'recovery.ts'],
]
