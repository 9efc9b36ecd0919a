// Builds all parts of a node. The images are built while Go compiles, so that no core is idle.
import { installPackages } from './debian.ts'
import { buildPrograms } from './go.ts'
import { buildBase, buildEnvoy, buildImages, buildSampleApp } from './images.ts'
import { withBuildLock } from './lock.ts'
import { buildRelease } from './mirror.ts'

export interface Built {
  /** The folder with all binaries. */
  readonly bin: string
  /** The folder whose `containerd` is a containerd root folder with all images. */
  readonly images: string
  /** The OCI layout with the image of the sample app, if the sample app exists. */
  readonly sampleApp: string | undefined
  /** The folder that the release mirror serves. */
  readonly releases: string
}

export const build = (): Promise<Built> => withBuildLock(buildAll)

async function buildAll(): Promise<Built> {
  await installPackages()
  const [bin, [base, envoy]] = await Promise.all([buildPrograms(), imageSources()])
  const images = await buildImages({ bin, base, envoy })
  return { bin, images, sampleApp: await buildSampleApp(images), releases: await buildRelease(bin) }
}

/** Builds one after the other, because the compiler needs both cores. */
async function imageSources(): Promise<[base: string, envoy: string]> {
  return [await buildBase(), await buildEnvoy()]
}
