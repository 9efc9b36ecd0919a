// The embedded mesh's door: a real Kubernetes node on this machine, with images for a real Istio, for tests to run against.
import { spawn, type SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import { buildAll } from './build.ts'
import { buildPrograms } from './go.ts'
import { withLock } from './lock.ts'
import { buildRelease } from './mirror.ts'
import {
  heals,
  importSampleApp,
  nodePid,
  nodeStatus,
  type NodeStatus,
  runningFrom,
  startNode,
  stopNode,
} from './node.ts'
import { kubeconfig } from './settings.ts'

export { build } from './build.ts'
export { installRsync } from './debian.ts'
export { goModule, goTool } from './go.ts'
export { cacheDir, ISTIO_VERSION, istioOverlay, KUBERNETES_VERSION, MIRROR_URL } from './settings.ts'
export type { ComponentStatus, NodeStatus } from './node.ts'
export { wheelTool } from './wheel.ts'

const notUp = 'The mesh is not up: start it with `npm run mesh -- up`.'

/** Leaves a ready node made of this checkout: builds what is missing, keeps a node that is well or heals, replaces any other. */
export async function up(): Promise<void> {
  await withLock(async () => {
    const built = await buildAll()
    if (!sameParts(built, runningFrom()) || !(await heals())) await startNode(built)
    await importSampleApp(built)
  })
}

/** The folder of Istio's releases that the mirror serves, without a node: MIRROR_URL is where `mirror.ts` serves it. */
export const releases = (): Promise<string> => withLock(async () => buildRelease(await buildPrograms()))

export const down = (): Promise<void> => withLock(stopNode)

/** Undefined when no node runs. */
export const status: () => Promise<NodeStatus | undefined> = nodeStatus

function sameParts(a: { bin: string; images: string; releases: string }, b: typeof a | undefined): boolean {
  return a.bin === b?.bin && a.images === b.images && a.releases === b.releases
}

/** The command line that runs `argv` in the mesh's network; files and control groups stay those of this machine. */
export function enter(argv: readonly string[]): string[] {
  const pid = nodePid()
  if (pid === undefined) throw new Error(notUp)
  return ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...argv]
}

/** What programs in the mesh need in their environment: the cluster's credentials, istioctl and kubectl, and no proxy. */
export function meshEnv(): Record<string, string> {
  const built = runningFrom()
  if (built === undefined) throw new Error(notUp)
  return { KUBECONFIG: kubeconfig, PATH: `${built.bin}:${process.env['PATH'] ?? ''}`, NO_PROXY: '*', no_proxy: '*' }
}

/** Runs a program in the mesh with this one's input and output, passes signals on, and returns its exit code. */
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
