// The folders of src from the lowest to the highest: each may import from those before it, and from itself.
// `npm run check` holds the imports to this order (dependency-cruiser, type imports included).
export const layers = [
  ['runtime'],
  ['yaml', 'statistics'],
  ['metrics'],
  ['config'],
  ['cluster'],
  ['tools'],
  ['istioctl', 'kind'],
  ['mesh'],
  ['policies'],
  ['verify'],
  ['uninstall'],
  ['canary'],
  ['release'],
  ['simulate'],
  ['guard'],
  ['report'],
  ['stages'],
  ['run.ts', 'post.ts'],
  ['action', 'cli'],
  ['index.ts', 'cli.ts'],
]
