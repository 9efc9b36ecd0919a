// The API of the embedded mesh: a real Kubernetes node on this machine, with images for a real Istio, for tests.
import { spawn, type SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import { type Addon, buildAddon } from './addons.ts'
import { build } from './build.ts'
import { buildPrograms } from './go.ts'
import { withBuildLock, withNodeLock } from './lock.ts'
import { buildRelease } from './mirror.ts'
import {
  allNodes,
  becomesReady,
  importImages,
  nodePid,
  nodeStatus,
  type NodeStatus,
  runningFrom,
  startNode,
  stopNode,
} from './node.ts'
import { kubeconfig, nodeSuffix } from './settings.ts'

export { build }
export { type Addon, addonImages } from './addons.ts'
export { installChromium, installRsync } from './debian.ts'
export { buildTools, goModule, goTool } from './go.ts'
export {
  cacheDir,
  containerdSocket,
  ISTIO_VERSION,
  istioOverlay,
  KUBERNETES_VERSION,
  MIRROR_URL,
  nodeAddress,
} from './settings.ts'
export type { ComponentStatus, NodeStatus } from './node.ts'
export { wheelTool } from './wheel.ts'

const notUp = 'The mesh is not up: start it with `npm run mesh -- up`.'

/**
 * Provides a ready node of this checkout: builds missing parts, keeps a node that is or becomes ready, replaces any
 * other.
 */
export async function up(): Promise<void> {
  const built = await build()
  await withNodeLock(nodeSuffix, async () => {
    if (!sameParts(built, runningFrom()) || !(await becomesReady())) await startNode(built)
    if (built.sampleApp) await importImages(built.bin, 'sample-app', built.sampleApp)
  })
}

/** Gives the running node the images of the add-ons. The first call builds them, which takes minutes. */
export async function importAddons(...addons: readonly Addon[]): Promise<void> {
  for (const addon of addons) {
    const made = await buildAddon(addon)
    await withNodeLock(nodeSuffix, () => importImages(running().bin, addon, made))
  }
}

/** The folder of Istio's releases, built without a node. `mirror.ts` serves it at MIRROR_URL. */
export const releases = (): Promise<string> => withBuildLock(async () => buildRelease(await buildPrograms()))

/** Ends the node of this process. */
export const down = (): Promise<void> => stop(nodeSuffix)

/** Ends all nodes: also those that tests have started. */
export async function downAll(): Promise<void> {
  await Promise.all((await allNodes()).values().map(stop))
}

const stop = (suffix: string): Promise<void> => withNodeLock(suffix, () => stopNode(suffix))

/** Undefined if no node runs. */
export const status: () => Promise<NodeStatus | undefined> = nodeStatus

function sameParts(a: { bin: string; images: string; releases: string }, b: typeof a | undefined): boolean {
  return a.bin === b?.bin && a.images === b.images && a.releases === b.releases
}

/** The command line that runs `argv` in the mesh's network, but with the files and control groups of this machine. */
export function enter(argv: readonly string[]): string[] {
  const pid = nodePid()
  if (pid === undefined) throw new Error(notUp)
  return ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...argv]
}

function running(): NonNullable<ReturnType<typeof runningFrom>> {
  const built = runningFrom()
  if (built === undefined) throw new Error(notUp)
  return built
}

/** The environment for programs in the mesh: the cluster's credentials, istioctl and kubectl, and no proxy. */
export function meshEnv(): Record<string, string> {
  return { KUBECONFIG: kubeconfig, PATH: `${running().bin}:${process.env['PATH'] ?? ''}`, NO_PROXY: '*', no_proxy: '*' }
}

/**
 * Runs a program in the mesh with the input and output of this process, forwards signals, and returns its exit code.
 */
export function run(argv: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const [program = '', ...args] = enter(argv)
  const child = spawn(program, args, {
    stdio: 'inherit',
    ...options,
    env: { ...process.env, ...options.env, ...meshEnv() },
  })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  return new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  }).finally(() => signals.forEach((signal) => process.off(signal, forward)))
}
