// The life of the node: started in namespaces of its own, watched, ended without a trace.
import { spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Built } from './build.ts'
import { joining, makeCgroups, processes, removeCgroups } from './cgroups.ts'
import { writeConfigs } from './components.ts'
import { copyRoot, importLayout } from './containerd.ts'
import { writeCredentials } from './credentials.ts'
import { type Report, step } from './progress.ts'
import { containerdSocket, here, nodeDir, supervisorSocket } from './settings.ts'
import type { ComponentStatus, NodeStatus } from './supervisor.ts'

export type { ComponentStatus, NodeStatus }

const builtFile = join(nodeDir, 'built.json')
const processFile = join(nodeDir, 'process.json')
const startTimeoutMs = 120_000
const healTimeoutMs = 20_000

/** Starts a fresh node; whatever is left of an earlier one goes first. */
export async function startNode(built: Built): Promise<void> {
  await stopNode()
  await step('node', async (report) => {
    await mkdir(nodeDir, { recursive: true, mode: 0o700 })
    await copyRoot(join(built.images, 'containerd'), join(nodeDir, 'containerd'))
    await writeCredentials()
    await writeConfigs()
    await writeFile(builtFile, JSON.stringify({ ...built, sampleApp: undefined }))
    await makeCgroups()
    await spawnSupervisor()
    await untilReady(report)
  })
}

/** All in one process namespace, so that its first process takes every other one along, and with them mounts and network. */
async function spawnSupervisor(): Promise<void> {
  const namespaces = ['unshare', '--mount', '--pid', '--net', '--fork', '--kill-child', '--mount-proc']
  const [program = '', ...args] = joining([...namespaces, 'tini', '--', process.execPath, join(here, 'supervisor.ts')])
  const log = openSync(join(nodeDir, 'supervisor.log'), 'a')
  const { PATH, HOME, XDG_CACHE_HOME } = process.env
  const child = spawn(program, args, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: { PATH, HOME, XDG_CACHE_HOME },
  })
  child.unref()
  if (child.pid === undefined) throw new Error('The node could not be started: sh is missing.')
  await writeFile(processFile, JSON.stringify({ pid: child.pid, started: startTime(child.pid) }))
}

async function untilReady(report: Report): Promise<void> {
  const waiting = await waitedFor(startTimeoutMs, report)
  if (waiting.length)
    throw new Error(`The node does not become ready: ${waiting.join(', ')}. Its logs are in ${nodeDir}.`)
}

/** True when the running node is well, or soon gets well by itself. */
export async function heals(): Promise<boolean> {
  return (await waitedFor(healTimeoutMs, () => undefined)).length === 0
}

/** Waits for everything to be ready; returns what is not when the time is up, or at once when nothing runs. */
async function waitedFor(timeoutMs: number, report: Report): Promise<string[]> {
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

export async function stopNode(): Promise<void> {
  await removeCgroups()
  await rm(nodeDir, { recursive: true, force: true })
}

/** Imports the sample app's image unless this one has been. */
export async function importSampleApp({ bin, sampleApp }: Built): Promise<void> {
  const imported = join(nodeDir, 'sample-app')
  if (!sampleApp || (existsSync(imported) && readFileSync(imported, 'utf8') === sampleApp)) return
  await importLayout(bin, containerdSocket, join(sampleApp, 'layout'))
  await writeFile(imported, sampleApp)
}

/** What the running node was started from; undefined when none runs. */
export function runningFrom(): Omit<Built, 'sampleApp'> | undefined {
  return nodePid() && existsSync(builtFile) ? (JSON.parse(readFileSync(builtFile, 'utf8')) as Built) : undefined
}

/** The process that holds the node's namespaces, told from a later one of the same id by its start time. */
export function nodePid(): number | undefined {
  if (!existsSync(processFile)) return undefined
  const { pid, started } = JSON.parse(readFileSync(processFile, 'utf8')) as { pid: number; started: string | undefined }
  return started !== undefined && startTime(pid) === started ? pid : undefined
}

/** In clock ticks since boot: the 22nd field, counted behind the name, which may hold anything. */
function startTime(pid: number): string | undefined {
  const file = `/proc/${pid}/stat`
  return existsSync(file) ? readFileSync(file, 'utf8').split(') ').at(-1)?.split(' ')[19] : undefined
}

/** What the supervisor says, with process ids as this side sees them; undefined when it does not answer. */
export async function nodeStatus(): Promise<NodeStatus | undefined> {
  const body = nodePid() ? await ask(supervisorSocket) : ''
  if (!body) return undefined
  const { components, nodeReady } = JSON.parse(body) as NodeStatus
  const outside = await outsidePids()
  return {
    components: components.map((component) => ({ ...component, pid: outside.get(component.pid) ?? 0 })),
    nodeReady,
  }
}

function ask(socketPath: string): Promise<string> {
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

/** Process id inside the node's namespace → outside. */
async function outsidePids(): Promise<Map<number, number>> {
  const pairs = (await processes()).map(async (pid): Promise<[number, number]> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    return [Number(/^NSpid:\s+\d+\s+(\d+)$/m.exec(status)?.[1] ?? -1), pid]
  })
  return new Map(await Promise.all(pairs))
}
