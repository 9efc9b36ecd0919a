// kind as a command: the few that are needed, each with its failure put into words.
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { run, within, type Outcome } from '../tools/run.ts'
import { explain, isTaken } from './errors.ts'
import { nodePorts } from './layout.ts'

/** One cluster, by name, and how it is handled. `runtime`: the program that makes its nodes. */
export type Kind = {
  path: string
  name: string
  runtime: string
  limitMs: number
  signal: AbortSignal
  info: (line: string) => void
}

/** A cluster of which a kubeconfig was written; `remove`: it is to go at the end. */
export type LeftCluster = Pick<Kind, 'path' | 'name' | 'runtime'> & { kubeconfig: string; remove: boolean }

/** What failed, as a sentence. `isTaken`: the name is somebody else's. */
export class KindError extends Error {
  override name = 'KindError'
  readonly isTaken: boolean
  constructor(message: string, isTaken: boolean) {
    super(message)
    this.isTaken = isTaken
  }
}

/** Nodes stay when it fails, so that their logs can be read, and so that nothing of somebody else's with the same name goes. */
export function create(kind: Kind, kubeconfig: string, configFile: string, image: string | undefined): Promise<string> {
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

/** Removes what is there of it, and says nothing when that is nothing. */
export function remove(kind: Kind, kubeconfig: string): Promise<string> {
  return command(kind, ['delete', 'cluster', '--kubeconfig', kubeconfig], kind.info)
}

export async function exists(kind: Kind): Promise<boolean> {
  return lines(await command({ ...kind, name: '' }, ['get', 'clusters'])).includes(kind.name)
}

/** As text: it holds a client's key, and is not to be logged. */
export function kubeconfigOf(kind: Kind): Promise<string> {
  return command(kind, ['get', 'kubeconfig'])
}

/** Into a folder of the cluster's name below the one that is given. */
export async function exportLogs(kind: Kind, below: string): Promise<string> {
  const folder = join(below, kind.name)
  mkdirSync(folder, { recursive: true })
  // Of nodes that are half there some logs cannot be had, and the others count all the more.
  await command(kind, ['export', 'logs', folder]).catch((error: unknown) => {
    if (readdirSync(folder).length === 0) throw error
  })
  return folder
}

export const isArchive = (image: string) => /\.(tar|tar\.gz|tgz)$/.test(image)

/** `images`: names of images of this machine, and archives of such. `scratch`: a folder for one that must be saved first. */
export async function load(kind: Kind, images: readonly string[], scratch: string): Promise<void> {
  const [archives, names] = [images.filter(isArchive), images.filter((image) => !isArchive(image))]
  // kind asks no runtime but Docker for images.
  if (names.length > 0 && kind.runtime === 'docker') await command(kind, ['load', 'docker-image', ...names], kind.info)
  else if (names.length > 0) archives.push(await save(kind, names, join(scratch, 'images.tar')))
  for (const archive of archives) await command(kind, ['load', 'image-archive', archive], kind.info)
}

async function save(kind: Kind, names: string[], file: string): Promise<string> {
  await runtime(kind, ['save', '-o', file, ...names])
  return file
}

/** Those of the images that are not on this machine, and the names of those that are. */
export async function missingImages(
  kind: Kind,
  images: readonly string[],
): Promise<{ missing: string[]; known: string[] }> {
  const names = images.filter((image) => !isArchive(image))
  const there = await Promise.all(names.map((name) => ask(kind, ['image', 'inspect', '--format', '{{.Id}}', name])))
  const missing = names.filter((_, i) => there[i]!.code !== 0)
  const known =
    missing.length === 0
      ? []
      : lines((await ask(kind, ['images', '--format', '{{.Repository}}:{{.Tag}}'])).stdout).filter(
          (name) => !name.includes('<none>'),
        )
  return { missing, known }
}

/** Its nodes' containers, each with its state in the runtime's words: `Up 2 hours`, `Exited (137) 5 minutes ago`. */
export async function containers(kind: Kind): Promise<{ name: string; state: string }[]> {
  const rows = lines(
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

/** Where the node ports of the ingress gateway are reached from this machine: those that are mapped. */
export async function ingressOf(kind: Kind, nodes: readonly string[]): Promise<{ http?: string; https?: string }> {
  const [http, https] = await Promise.all([nodePorts.http, nodePorts.https].map((port) => mapped(kind, nodes, port)))
  return { ...(http === undefined ? {} : { http }), ...(https === undefined ? {} : { https }) }
}

async function mapped(kind: Kind, nodes: readonly string[], port: number): Promise<string | undefined> {
  for (const node of nodes) {
    const { code, stdout } = await ask(kind, ['port', node, `${port}/tcp`])
    const [address] = code === 0 ? lines(stdout) : []
    if (address) return address.replace(/^(0\.0\.0\.0|\[::\]):/, '127.0.0.1:')
  }
  return undefined
}

async function command(kind: Kind, args: string[], info?: (line: string) => void): Promise<string> {
  const shown = `kind ${args.slice(0, 2).join(' ')}`
  const full = kind.name === '' ? args : [...args, '--name', kind.name]
  // Where Docker is there and does not answer, kind would insist on it.
  const env = kind.runtime === 'docker' ? {} : { KIND_EXPERIMENTAL_PROVIDER: kind.runtime }
  const { code, stdout, stderr } = await run(
    kind.path,
    full,
    within(kind.signal, kind.limitMs, shown, 'limits.kind'),
    info,
    env,
  )
  if (code !== 0) throw failure(shown, `${stderr}\n${stdout}`, kind)
  return stdout
}

function failure(shown: string, output: string, { name }: Kind): KindError {
  return new KindError(explain(shown, output, name), isTaken(output))
}

async function runtime(kind: Kind, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(kind, args)
  if (code !== 0) throw failure(`${kind.runtime} ${args[0]!}`, stderr, kind)
  return stdout
}

function ask({ runtime, signal, limitMs }: Kind, args: string[]): Promise<Outcome> {
  return run(runtime, args, within(signal, limitMs, `${runtime} ${args[0]!}`, 'limits.kind'))
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)
}
