// Everything that a node is made of, built in the order that leaves no core idle: images while Go compiles.
import { installPackages } from './debian.ts'
import { buildPrograms } from './go.ts'
import { buildBase, buildEnvoy, buildImages, buildSampleApp } from './images.ts'
import { withLock } from './lock.ts'
import { buildRelease } from './mirror.ts'

export interface Built {
  /** Folder of all binaries. */
  readonly bin: string
  /** Folder whose `containerd` is the root of a containerd with all images. */
  readonly images: string
  /** OCI layout of the sample app's image, once there is one. */
  readonly sampleApp: string | undefined
  /** Folder that the release mirror serves. */
  readonly releases: string
}

export const build = (): Promise<Built> => withLock(buildAll)

/** Callers hold the lock. */
export async function buildAll(): Promise<Built> {
  await installPackages()
  const [bin, [base, envoy]] = await Promise.all([buildPrograms(), imageSources()])
  const images = await buildImages({ bin, base, envoy })
  return { bin, images, sampleApp: await buildSampleApp(images), releases: await buildRelease(bin) }
}

/** One after the other: the compiler wants both cores. */
async function imageSources(): Promise<[base: string, envoy: string]> {
  return [await buildBase(), await buildEnvoy()]
}
