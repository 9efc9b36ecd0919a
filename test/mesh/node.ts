// Starts the node in its own namespaces, watches it, and stops it without leaving anything behind.
import { spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Built } from './build.ts'
import { joining, makeCgroups, processes, removeCgroups } from './cgroups.ts'
import { writeConfigs } from './components.ts'
import { copyRoot, importLayout } from './containerd.ts'
import { writeCredentials } from './credentials.ts'
import { type Report, step } from './progress.ts'
import { runningPid, saveProcess } from './process-file.ts'
import {
  cacheDir,
  cgroup,
  cgroupOf,
  containerdSocket,
  here,
  nodeDir,
  nodeDirOf,
  nodeSuffix,
  supervisorSocket,
} from './settings.ts'
import type { ComponentStatus, NodeStatus } from './supervisor.ts'

export type { ComponentStatus, NodeStatus }

const builtFile = join(nodeDir, 'built.json')
const processFile = join(nodeDir, 'process.json')
const startTimeoutMs = 120_000
const healTimeoutMs = 20_000

/** Removes what is left of an earlier node, and starts a new one. */
export async function startNode(built: Built): Promise<void> {
  await stopNode(nodeSuffix)
  await step('node', async (report) => {
    await mkdir(nodeDir, { recursive: true, mode: 0o700 })
    await copyRoot(join(built.images, 'containerd'), join(nodeDir, 'containerd'))
    await writeCredentials()
    await writeConfigs()
    await writeFile(builtFile, JSON.stringify({ ...built, sampleApp: undefined }))
    await makeCgroups(cgroup)
    spawnSupervisor()
    await ensureReady(report)
  })
}

/**
 * Uses one process namespace, so that the end of its first process also ends all others, the mounts and the network.
 */
function spawnSupervisor(): void {
  const namespaces = ['unshare', '--mount', '--pid', '--net', '--fork', '--kill-child', '--mount-proc']
  const [program = '', ...args] = joining(cgroup, [
    ...namespaces,
    'tini',
    '--',
    process.execPath,
    join(here, 'supervisor.ts'),
  ])
  const log = openSync(join(nodeDir, 'supervisor.log'), 'a')
  const { PATH, HOME, XDG_CACHE_HOME, MESH_NODE } = process.env
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: { PATH, HOME, XDG_CACHE_HOME, MESH_NODE },
  })
  child.unref()
  if (child.pid === undefined) throw new Error('The node could not be started: sh is missing.')
  saveProcess(processFile, child.pid)
}

async function ensureReady(report: Report): Promise<void> {
  const waiting = await waitForReady(startTimeoutMs, report)
  if (waiting.length)
    throw new Error(`The node does not become ready: ${waiting.join(', ')}. Its logs are in ${nodeDir}.`)
}

/** True if the running node is ready, or becomes ready by itself within the time limit. */
export async function becomesReady(): Promise<boolean> {
  return (await waitForReady(healTimeoutMs, () => undefined)).length === 0
}

/** Waits until all is ready. Returns what is not ready at the time limit, or at once if no node runs. */
async function waitForReady(timeoutMs: number, report: Report): Promise<string[]> {
  for (const start = Date.now(); ; await sleep(100)) {
    const status = await nodeStatus()
    const waiting = status ? notReady(status) : ['supervisor']
    if (waiting.length === 0 || !nodePid() || Date.now() - start > timeoutMs) return waiting
    report(`waiting for ${waiting.join(', ')}`)
  }
}

function notReady({ components, nodeReady }: NodeStatus): string[] {
  const waiting = components.filter(({ healthy }) => !healthy).map(({ name }) => name)
  return nodeReady ? waiting : [...waiting, 'node']
}

export async function stopNode(suffix: string): Promise<void> {
  await removeCgroups(cgroupOf(suffix))
  await rm(nodeDirOf(suffix), { recursive: true, force: true })
}

/** Suffixes of all nodes of this cache folder, running or not, and this process's own, even if it has no files yet. */
export async function allNodes(): Promise<Set<string>> {
  const names = existsSync(cacheDir) ? await readdir(cacheDir) : []
  return new Set([nodeSuffix, ...names.flatMap((name) => /^node(-[\w-]+|)$/.exec(name)?.[1] ?? [])])
}

/** Imports the images of the layout in the folder `made`, unless the node already has this build of them. */
export async function importImages(bin: string, name: string, made: string): Promise<void> {
  const imported = join(nodeDir, `imported-${name}`)
  if (existsSync(imported) && readFileSync(imported, 'utf8') === made) return
  await importLayout(bin, containerdSocket, join(made, 'layout'))
  await writeFile(imported, made)
}

/** The build that the running node uses. Undefined if no node runs. */
export function runningFrom(): Omit<Built, 'sampleApp'> | undefined {
  return nodePid() && existsSync(builtFile) ? (JSON.parse(readFileSync(builtFile, 'utf8')) as Built) : undefined
}

/** The process that holds the node's namespaces. */
export const nodePid = (): number | undefined => runningPid(processFile)

/** The supervisor's status, with process ids as seen from outside the node. Undefined if it does not answer. */
export async function nodeStatus(): Promise<NodeStatus | undefined> {
  const body = nodePid() ? await readStatus(supervisorSocket) : ''
  if (!body) return undefined
  const { components, nodeReady } = JSON.parse(body) as NodeStatus
  const outside = await outsidePids()
  return {
    components: components.map((component) => ({ ...component, pid: outside.get(component.pid) ?? 0 })),
    nodeReady,
  }
}

function readStatus(socketPath: string): Promise<string> {
  return new Promise((resolve) => {
    const query = request({ socketPath, timeout: 5000 }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      response.on('end', () => resolve(body)).on('error', () => resolve(''))
    })
    query
      .on('timeout', () => query.destroy())
      .on('error', () => resolve(''))
      .end()
  })
}

/** Maps process ids inside the node's namespace to those outside. */
async function outsidePids(): Promise<Map<number, number>> {
  const pairs = (await processes(cgroup)).map(async (pid): Promise<[number, number]> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    return [Number(/^NSpid:\s+\d+\s+(\d+)$/m.exec(status)?.[1] ?? -1), pid]
  })
  return new Map(await Promise.all(pairs))
}
