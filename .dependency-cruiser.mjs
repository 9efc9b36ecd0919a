// Which file may import which; `npm run check` runs it. Type imports count as well.
import { canaryLayers, layers } from './dev/layers.mjs'

const room = (name) => (name.endsWith('.ts') ? `^src/${name.replace('.', '\\.')}$` : `^src/${name}/`)
const any = (names) => names.map(room).join('|')

/** Nothing of a layer may import from a later one. */
const upward = layers.slice(0, -1).map((layer, i) => ({
  name: `${layer.join('-')}-imports-downward`,
  severity: 'error',
  comment: `${layer.join(' and ')} may import only from earlier rooms (dev/layers.mjs)`,
  from: { path: any(layer) },
  to: { path: any(layers.slice(i + 1).flat()) },
}))

/** Rooms of one layer do not know each other. */
const sideways = layers
  .filter((layer) => layer.length > 1)
  .flatMap((layer) =>
    layer.map((name) => ({
      name: `${name}-knows-no-neighbour`,
      severity: 'error',
      from: { path: room(name) },
      to: { path: any(layer.filter((other) => other !== name)) },
    })),
  )

const canaryRoom = (name) =>
  name.endsWith('.ts') ? `^src/canary/${name.replace('.', '\\.')}$` : `^src/canary/${name}/`
const insideCanary = canaryLayers.slice(0, -1).map((layer, i) => ({
  name: `canary-${layer.join('-')}-imports-downward`,
  severity: 'error',
  from: { path: layer.map(canaryRoom).join('|') },
  to: {
    path: canaryLayers
      .slice(i + 1)
      .flat()
      .map(canaryRoom)
      .join('|'),
  },
}))

export default {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'only-the-action-knows-github',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(action/|index\\.ts$)' },
      to: { path: '@actions/(core|github)' },
    },
    { name: 'src-imports-only-src', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|dev|bench)/' } },
    ...upward,
    ...sideways,
    ...insideCanary,
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.js'] },
  },
}
