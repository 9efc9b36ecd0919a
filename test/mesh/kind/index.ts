// Real kind clusters on a machine without Docker or a registry: a Docker daemon, and the images and releases that kind
// and the action need there.
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { cached } from '../cache.ts'
import { installDocker } from '../debian.ts'
import { buildTool } from '../go.ts'
import { buildBase, buildEnvoy, standaloneSampleApp } from '../images.ts'
import { withBuildLock, withLock } from '../lock.ts'
import { writeDockerFolder } from '../oci.ts'
import { mirrorPath, mirrorPort, nodeSuffix } from '../settings.ts'
import { allDockers, dockerHost, dockerParts, dockerPid, isDockerUp, startDocker, stopDocker } from './docker-daemon.ts'
import { buildNodeImage } from './node-image.ts'

export { kindNodeImage } from './node-image.ts'

export interface KindParts {
  /** The folder with kubectl and istioctl. */
  readonly bin: string
  /** Folders with an `image` for `docker load`: that of kind's nodes, and that of the sample app. */
  readonly nodeImageFolder: string
  readonly sampleImageFolder: string
  /** Path at the mirror → folder of releases. */
  readonly mirrored: readonly (readonly [path: string, folder: string])[]
}

const kindVersion = '0.33.0'
const kindMirrorPath = '/kind'
export const KIND_MIRROR_URL = `http://127.0.0.1:${mirrorPort}${kindMirrorPath}`

/** Builds everything that kind clusters are made of (once; kept in the cache). */
export async function buildKind(): Promise<KindParts> {
  const { bin, sampleApp, releases } = await build()
  if (sampleApp === undefined)
    throw new Error('examples/sample-app has no package-lock.json, so its image cannot be built.')
  await installDocker()
  return withBuildLock(async () => {
    const sources = { bin, base: await buildBase(), envoy: await buildEnvoy() }
    return {
      bin,
      nodeImageFolder: await buildNodeImage(sources),
      sampleImageFolder: await buildSampleImage(sampleApp, sources.base),
      mirrored: [
        [mirrorPath, releases],
        [kindMirrorPath, await buildKindRelease()],
      ],
    }
  })
}

/** Provides a Docker with the node image: keeps one that answers, replaces any other. */
export async function kindUp(): Promise<void> {
  const parts = await buildKind()
  await withDockerLock(nodeSuffix, async () => {
    if (!(await isDockerUp(parts))) await startDocker(parts)
  })
}

/** Ends the Docker of this process, and with it all its clusters. */
export const kindDown = (): Promise<void> => stop(nodeSuffix)

/** Ends all Dockers: also those that tests have started. */
export async function kindDownAll(): Promise<void> {
  await Promise.all(allDockers().values().map(stop))
}

const stop = (suffix: string): Promise<void> => withDockerLock(suffix, () => stopDocker(suffix))

const withDockerLock = (suffix: string, work: () => Promise<void>): Promise<void> => withLock(`docker${suffix}`, work)

export interface KindEnvironment {
  /** The command line that runs `argv` beside our Docker. */
  readonly enter: (argv: readonly string[]) => string[]
  readonly env: Record<string, string>
}

/** How to run a program beside our Docker; undefined if that does not run. */
export function kindEnvironment(): KindEnvironment | undefined {
  const pid = dockerPid()
  const bin = dockerParts()?.bin
  if (pid === undefined || bin === undefined) return undefined
  const path = `${bin}:${process.env['PATH'] ?? ''}`
  return {
    enter: (argv) => ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...argv],
    env: { PATH: path, DOCKER_HOST: dockerHost, NO_PROXY: '*', no_proxy: '*' },
  }
}

async function buildSampleImage(sampleApp: string, base: string): Promise<string> {
  return cached({ name: 'kind-sample-app', recipe: { sampleApp, base } }, async (draft) => {
    await writeDockerFolder(join(draft, 'image'), await standaloneSampleApp(sampleApp, base, draft))
    await rm(join(draft, 'node.tar'))
  })
}

/** kind's binary in the form of its releases. */
async function buildKindRelease(): Promise<string> {
  const binary = await buildTool('kind')
  return cached({ name: 'kind-release', recipe: { binary } }, async (draft) => {
    const folder = join(draft, `v${kindVersion}`)
    const name = `kind-linux-${process.arch === 'x64' ? 'amd64' : process.arch}`
    await mkdir(folder)
    await copyFile(binary, join(folder, name))
    const hash = createHash('sha256')
      .update(await readFile(binary))
      .digest('hex')
    await writeFile(join(folder, `${name}.sha256sum`), `${hash}  ${name}\n`)
  })
}
