// Add-ons to observe a mesh with: images under the official names, made of the programs that Go builds from their modules.
// The first use builds them, as most tests need none.
import { join } from 'node:path'
import { cached } from './cache.ts'
import { type GoTool, goTool } from './go.ts'
import { buildBase, hashes, pathVariable } from './images.ts'
import { withBuildLock } from './lock.ts'
import { type Image, layer, layerOf, writeLayout } from './oci.ts'
import { step } from './progress.ts'
import { here } from './settings.ts'

/** The names that manifests use. The tags are those of the modules' versions in test/mesh/tools. */
export const addonImages = {
  alertmanager: 'docker.io/prom/alertmanager:v0.31.1',
  jaeger: 'docker.io/jaegertracing/jaeger:2.13.0',
  prometheus: 'docker.io/prom/prometheus:v3.16.0',
  'prometheus-config-reloader': 'quay.io/prometheus-operator/prometheus-config-reloader:v0.85.0',
  'prometheus-operator': 'quay.io/prometheus-operator/prometheus-operator:v0.85.0',
  'victoria-logs': 'docker.io/victoriametrics/victoria-logs:v1.52.1',
} as const

export type Addon = keyof typeof addonImages

interface Content {
  /** Program → path in the image. The first one is what the image runs. */
  readonly programs: Partial<Record<GoTool, string>>
  readonly config: Image['config']
}

/** Paths, users and defaults as in the official images. */
const contents: Record<Addon, Content> = {
  alertmanager: {
    programs: { alertmanager: '/bin/alertmanager' },
    config: {
      Cmd: ['--config.file=/etc/alertmanager/alertmanager.yml', '--storage.path=/alertmanager'],
      User: 'nobody',
      WorkingDir: '/alertmanager',
    },
  },
  jaeger: {
    programs: { jaeger: '/cmd/jaeger/jaeger-linux' },
    config: { Env: ['JAEGER_LISTEN_HOST=0.0.0.0'], User: '10001' },
  },
  prometheus: {
    programs: { prometheus: '/bin/prometheus', promtool: '/bin/promtool' },
    config: {
      Cmd: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/prometheus'],
      User: 'nobody',
      WorkingDir: '/prometheus',
    },
  },
  'prometheus-config-reloader': {
    programs: { 'prometheus-config-reloader': '/bin/prometheus-config-reloader' },
    config: { User: 'nobody' },
  },
  'prometheus-operator': { programs: { 'prometheus-operator': '/bin/operator' }, config: { User: '65534' } },
  'victoria-logs': { programs: { 'victoria-logs': '/victoria-logs-prod' }, config: {} },
}

/** A folder that holds `layout`, with the image's own layer only: every node has the base. */
export async function buildAddon(addon: Addon): Promise<string> {
  const { programs, config } = contents[addon]
  const files: Record<string, string> = {}
  for (const [tool, path] of Object.entries(programs)) files[path] = await goTool(tool as GoTool)
  const own = await hashes(['addons.ts', 'oci.ts'].map((name) => join(here, name)))
  return withBuildLock(async () => {
    const base = await buildBase()
    return cached({ name: `${addon}-image`, recipe: { files, own, base } }, (draft) =>
      step(`${addon} image`, async () => {
        const below = await layer(base)
        const image: Image = {
          name: addonImages[addon],
          layers: [below, await layerOf(files, join(draft, 'programs.tar'))],
          config: {
            ...config,
            Entrypoint: Object.keys(files).slice(0, 1),
            Env: [pathVariable, ...(config.Env ?? [])],
          },
        }
        await writeLayout(join(draft, 'layout'), [image], [below])
      }),
    )
  })
}
