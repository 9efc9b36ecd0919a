// Container images without a builder: a layer is a tar of files, an image is layers and a config, an OCI layout holds several.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, copyFile, link, mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sh } from './shell.ts'

export interface Layer {
  readonly file: string
  readonly digest: string
  readonly size: number
}

export interface Image {
  /** The full name that manifests will ask for: docker.io/library/node:24-alpine. */
  readonly name: string
  readonly layers: readonly Layer[]
  readonly config: {
    readonly Entrypoint?: string[]
    readonly Cmd?: string[]
    readonly Env?: string[]
    readonly User?: string
    readonly WorkingDir?: string
    readonly StopSignal?: string
  }
}

/** Makes a layer of executable or plain files, path in the image → path here. */
export async function layerOf(files: Record<string, string>, tar: string): Promise<Layer> {
  const staging = `${tar}.d`
  for (const [path, source] of Object.entries(files)) {
    const target = join(staging, path)
    await mkdir(dirname(target), { recursive: true })
    await copyFile(source, target)
    await chmod(target, 0o755)
  }
  return layerOfFolder(staging, tar)
}

/** Makes a layer of a folder, and takes the folder away. All files belong to root, unless `owners` are kept. */
export async function layerOfFolder(folder: string, tar: string, owners: 'root' | 'kept' = 'root'): Promise<Layer> {
  const root = owners === 'root' ? ['--owner=0', '--group=0'] : []
  await sh(['tar', '--sort=name', '--mtime=@0', ...root, '--numeric-owner', '-C', folder, '-cf', tar, '.'])
  await rm(folder, { recursive: true })
  return layer(tar)
}

export async function layer(file: string): Promise<Layer> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return { file, digest: `sha256:${hash.digest('hex')}`, size: (await stat(file)).size }
}

/** Writes the images as one OCI layout; layers in `known` are already where it will be imported, and are left out. */
export async function writeLayout(
  folder: string,
  images: readonly Image[],
  known: readonly Layer[] = [],
): Promise<void> {
  await mkdir(join(folder, 'blobs/sha256'), { recursive: true })
  const left = new Set(known.map(({ digest }) => digest))
  for (const { digest, file } of images.flatMap(({ layers }) => layers)) {
    if (left.has(digest)) continue
    left.add(digest)
    await link(file, blob(folder, digest))
  }
  const manifests = []
  for (const image of images) manifests.push(await writeManifest(folder, image))
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  await writeFile(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
}

/** Writes one image in the format of `docker save`: Docker before version 25 cannot load OCI layouts. */
export async function writeDockerFolder(folder: string, images: readonly Image[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  const tarOf = ({ digest }: Layer) => `${digest.replace('sha256:', '')}.tar`
  const layers = new Map(images.flatMap((image) => image.layers.map((each) => [tarOf(each), each.file] as const)))
  for (const [tar, file] of layers) await link(file, join(folder, tar))
  const manifest = images.map(({ name, layers }, i) => ({
    Config: `config-${i}.json`,
    RepoTags: [name],
    Layers: layers.map(tarOf),
  }))
  for (const [i, { layers, config }] of images.entries()) {
    const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) }
    await writeFile(join(folder, `config-${i}.json`), JSON.stringify({ ...platform, config, rootfs }))
  }
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest))
}

const platform = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' }

async function writeManifest(folder: string, { name, layers, config }: Image): Promise<object> {
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) }
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: await writeJson(folder, 'application/vnd.oci.image.config.v1+json', { ...platform, config, rootfs }),
    layers: layers.map(({ digest, size }) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size })),
  }
  return {
    ...(await writeJson(folder, manifest.mediaType, manifest)),
    platform,
    annotations: { 'io.containerd.image.name': name },
  }
}

async function writeJson(
  folder: string,
  mediaType: string,
  value: object,
): Promise<{ mediaType: string; digest: string; size: number }> {
  const text = JSON.stringify(value)
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
  await writeFile(blob(folder, digest), text)
  return { mediaType, digest, size: Buffer.byteLength(text) }
}

const blob = (folder: string, digest: string): string => join(folder, 'blobs', digest.replace(':', '/'))
