// Add-ons to observe a mesh with: images under the official names, made of programs that Go builds.
// The first use builds them, as most tests need none.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cached, folder } from './cache.ts'
import { codename } from './debian.ts'
import { goTool } from './go.ts'
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

/** Each image has one program, the tool of the same name. Its path, user and defaults are those of the official image. */
const contents: Record<Addon, { readonly path: string; readonly config: Image['config'] }> = {
  alertmanager: {
    path: '/bin/alertmanager',
    config: {
      Cmd: ['--config.file=/etc/alertmanager/alertmanager.yml', '--storage.path=/alertmanager'],
      User: 'nobody',
      WorkingDir: '/alertmanager',
    },
  },
  jaeger: { path: '/cmd/jaeger/jaeger-linux', config: { Env: ['JAEGER_LISTEN_HOST=0.0.0.0'], User: '10001' } },
  prometheus: {
    path: '/bin/prometheus',
    config: {
      Cmd: ['--config.file=/etc/prometheus/prometheus.yml', '--storage.tsdb.path=/prometheus'],
      User: 'nobody',
      WorkingDir: '/prometheus',
    },
  },
  'prometheus-config-reloader': { path: '/bin/prometheus-config-reloader', config: { User: 'nobody' } },
  'prometheus-operator': { path: '/bin/operator', config: { User: '65534' } },
  'victoria-logs': { path: '/victoria-logs-prod', config: {} },
}

/** A folder that holds `layout`, with the image's own layer only: every node has the base. The first call builds it. */
export async function buildAddon(addon: Addon): Promise<string> {
  const program = await goTool(addon)
  const own = await hashes(['addons.ts', 'images.ts', 'oci.ts'].map((name) => join(here, name)))
  const artifact = { name: `${addon}-image`, recipe: { program, own, codename: codename() } }
  const made = folder(artifact)
  return existsSync(made) ? made : withBuildLock(() => cached(artifact, (draft) => writeImage(addon, program, draft)))
}

function writeImage(addon: Addon, program: string, draft: string): Promise<void> {
  const { path, config } = contents[addon]
  return step(`${addon} image`, async () => {
    const base = await layer(await buildBase())
    const layers = [base, await layerOf({ [path]: program }, join(draft, 'program.tar'))]
    const env = [pathVariable, ...(config.Env ?? [])]
    const image = { name: addonImages[addon], layers, config: { ...config, Entrypoint: [path], Env: env } }
    await writeLayout(join(draft, 'layout'), [image], [base])
  })
}
