// The commands of kind and its container runtime that a run needs. Each failure becomes a sentence with its cause.
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { listNames } from '../runtime/errors.ts'
import { poll } from '../runtime/retry.ts'
import { textLines } from '../runtime/text-lines.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { runProgram, type ProgramResult } from '../tools/run.ts'
import { explain, isTaken } from './errors.ts'
import { nodePorts } from './layout.ts'

/** One cluster. `path`: the program kind; `runtime`: the program that makes the nodes. */
export type KindCluster = {
  path: string
  name: string
  runtime: string
  limitMs: number
  signal: AbortSignal
  info: (line: string) => void
}

/** A cluster whose kubeconfig this run wrote. `remove`: whether to delete it at the end. */
export type KindClusterToDelete = Pick<KindCluster, 'path' | 'name' | 'runtime'> & {
  kubeconfig: string
  remove: boolean
}

/** `isTaken`: another job has a cluster of that name. */
export class KindError extends Error {
  override name = 'KindError'
  readonly isTaken: boolean
  constructor(message: string, isTaken: boolean) {
    super(message)
    this.isTaken = isTaken
  }
}

/** Keeps the nodes after a failure: their logs can be read, and a cluster of this name may belong to another job. */
export function createCluster(
  kind: KindCluster,
  kubeconfig: string,
  configFile: string,
  image: string | undefined,
): Promise<string> {
  return command(
    kind,
    [
      'create',
      'cluster',
      '--retain',
      '--kubeconfig',
      kubeconfig,
      '--config',
      configFile,
      ...(image === undefined ? [] : ['--image', image]),
    ],
    kind.info,
  )
}

/**
 * Deletes the cluster, even a partly created one; does nothing if there is none. If a run is killed while Docker creates
 * a container, Docker may report the container as removed and start it afterwards. So it deletes until no node is left.
 */
export async function deleteCluster(kind: KindCluster, kubeconfig: string): Promise<void> {
  const deleteOnce = async () => {
    await command(kind, ['delete', 'cluster', '--kubeconfig', kubeconfig], kind.info)
    return containers(kind)
  }
  const left = await poll(deleteOnce, (nodes) => nodes.length === 0, {
    limitMs: Math.min(kind.limitMs, 60_000),
    intervalMs: 1_000,
    signal: kind.signal,
  })
  if (left.length > 0)
    throw new Error(
      stillThere(
        kind.runtime,
        left.map(({ name }) => name),
      ),
    )
}

function stillThere(runtime: string, names: readonly string[]): string {
  return `the nodes ${listNames(names)} are still there; remove them with \`${runtime} rm -f -v ${names.join(' ')}\``
}

export async function clusterExists(kind: KindCluster): Promise<boolean> {
  return textLines(await command({ ...kind, name: '' }, ['get', 'clusters'])).includes(kind.name)
}

/** The kubeconfig's text. It holds a private key, so it must never be logged. */
export function kubeconfigOf(kind: KindCluster): Promise<string> {
  return command(kind, ['get', 'kubeconfig'])
}

/** Writes the logs to a folder with the cluster's name inside `below`, and returns that folder. */
export async function exportLogs(kind: KindCluster, below: string): Promise<string> {
  const folder = join(below, kind.name)
  mkdirSync(folder, { recursive: true })
  // Partly created nodes lack some logs, but the other logs still help.
  await command(kind, ['export', 'logs', folder]).catch((error: unknown) => {
    if (readdirSync(folder).length === 0) throw error
  })
  return folder
}

export const isArchive = (image: string) => /\.(tar|tar\.gz|tgz)$/.test(image)

/**
 * `images`: names of images on this machine, and archives of images. `scratch`: a folder for images that must be saved
 * first.
 */
export async function loadImages(kind: KindCluster, images: readonly string[], scratch: string): Promise<void> {
  const [archives, names] = [images.filter(isArchive), images.filter((image) => !isArchive(image))]
  // kind can load images by name only from Docker.
  if (names.length > 0 && kind.runtime === 'docker') await command(kind, ['load', 'docker-image', ...names], kind.info)
  else if (names.length > 0) archives.push(await save(kind, names, join(scratch, 'images.tar')))
  for (const archive of archives) await command(kind, ['load', 'image-archive', archive], kind.info)
}

async function save(kind: KindCluster, names: string[], file: string): Promise<string> {
  await runtime(kind, ['save', '-o', file, ...names])
  return file
}

/** The images that are not on this machine. If there are any, `known` lists the images that are. */
export async function imagesNotOnMachine(
  kind: KindCluster,
  images: readonly string[],
): Promise<{ missing: string[]; known: string[] }> {
  const names = images.filter((image) => !isArchive(image))
  const results = await Promise.all(
    names.map((name) => runRuntime(kind, ['image', 'inspect', '--format', '{{.Id}}', name])),
  )
  const missing = names.filter((_, i) => results[i]!.code !== 0)
  const known =
    missing.length === 0
      ? []
      : textLines((await runRuntime(kind, ['images', '--format', '{{.Repository}}:{{.Tag}}'])).stdout).filter(
          (name) => !name.includes('<none>'),
        )
  return { missing, known }
}

/** The nodes' containers, each with its state in the runtime's words: `Up 2 hours`, `Exited (137) 5 minutes ago`. */
export async function containers(kind: KindCluster): Promise<{ name: string; state: string }[]> {
  const rows = textLines(
    await runtime(kind, [
      'ps',
      '-a',
      '--filter',
      `label=io.x-k8s.kind.cluster=${kind.name}`,
      '--format',
      '{{.Names}}\t{{.Status}}',
    ]),
  )
  return rows.map((row) => ({ name: row.split('\t')[0]!, state: row.split('\t')[1] ?? '' }))
}

/** The addresses on this machine that lead to the ingress gateway's node ports, if those are mapped. */
export async function ingressOf(
  kind: KindCluster,
  nodes: readonly string[],
): Promise<{ http?: string; https?: string }> {
  const [http, https] = await Promise.all([nodePorts.http, nodePorts.https].map((port) => mapped(kind, nodes, port)))
  return { ...(http === undefined ? {} : { http }), ...(https === undefined ? {} : { https }) }
}

async function mapped(kind: KindCluster, nodes: readonly string[], port: number): Promise<string | undefined> {
  for (const node of nodes) {
    const { code, stdout } = await runRuntime(kind, ['port', node, `${port}/tcp`])
    const [address] = code === 0 ? textLines(stdout) : []
    if (address) return address.replace(/^(0\.0\.0\.0|\[::\]):/, '127.0.0.1:')
  }
  return undefined
}

async function command(kind: KindCluster, args: string[], info?: (line: string) => void): Promise<string> {
  const title = `kind ${args.slice(0, 2).join(' ')}`
  const full = kind.name === '' ? args : [...args, '--name', kind.name]
  // Without this, kind would use Docker if it is installed, even if it does not answer.
  const env = kind.runtime === 'docker' ? {} : { KIND_EXPERIMENTAL_PROVIDER: kind.runtime }
  const { code, stdout, stderr } = await runProgram(
    kind.path,
    full,
    withTimeout(kind.signal, kind.limitMs, title, 'limits.kind'),
    info,
    env,
  )
  if (code !== 0) throw failure(title, `${stderr}\n${stdout}`, kind)
  return stdout
}

function failure(title: string, output: string, { name }: KindCluster): KindError {
  return new KindError(explain(title, output, name), isTaken(output))
}

async function runtime(kind: KindCluster, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runRuntime(kind, args)
  if (code !== 0) throw failure(`${kind.runtime} ${args[0]!}`, stderr, kind)
  return stdout
}

function runRuntime({ runtime, signal, limitMs }: KindCluster, args: string[]): Promise<ProgramResult> {
  return runProgram(runtime, args, withTimeout(signal, limitMs, `${runtime} ${args[0]!}`, 'limits.kind'))
}
