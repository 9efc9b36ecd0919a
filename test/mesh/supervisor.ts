// Runs inside the mount, process and network namespaces of the node: prepares them, starts all components, restarts
// those that end, and reports their status on a Unix socket. When it ends, process 1 ends too, and the kernel ends the
// node.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { once } from 'node:events'
import type { Built } from './build.ts'
import { type Component, components } from './components.ts'
import { get, healthy } from './health.ts'
import { apiServer, kubeconfig, nodeAddress, nodeDir, nodeName, supervisorSocket } from './settings.ts'

export interface ComponentStatus {
  readonly name: string
  /** The id in the node's process namespace, or 0 if the component does not run. */
  readonly pid: number
  readonly healthy: boolean
  readonly restarts: number
}

export interface NodeStatus {
  readonly components: readonly ComponentStatus[]
  /** True if the node accepts pods, and the default namespace has the service account for them. */
  readonly nodeReady: boolean
}

interface Running extends Component {
  pid: number
  restarts: number
}

const restartMs = 200
const slowRestartMs = 2000

/**
 * Containers see the mounts, and the machine does not. Programs get their usual folders, but empty ones of the node. A
 * folder that did not exist stays on the machine, because its removal would unmount it in another mesh.
 */
function prepareMounts(): void {
  run('mount', '--make-rshared', '/')
  for (const folder of ['/run', '/var/log', '/var/lib/cni']) {
    mkdirSync(folder, { recursive: true })
    run('mount', '-t', 'tmpfs', 'tmpfs', folder)
  }
}

/**
 * A bridge replaces the network card. The default route makes service addresses routable, so that the node translates
 * them.
 */
function prepareNetwork(): void {
  run('ip', 'link', 'set', 'lo', 'up')
  run('ip', 'link', 'add', 'mesh0', 'type', 'bridge')
  run('ip', 'address', 'add', `${nodeAddress}/24`, 'dev', 'mesh0')
  run('ip', 'link', 'set', 'mesh0', 'up')
  run('ip', 'route', 'add', 'default', 'dev', 'mesh0')
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'inherit' })
}

/** Starts a component, and restarts it whenever it ends. */
async function keepRunning(component: Running): Promise<never> {
  while (component.needsApi && !(await healthy(`${apiServer}/readyz`))) await sleep(100)
  for (;;) {
    const started = Date.now()
    const log = openSync(join(nodeDir, `${component.name}.log`), 'a')
    const [program = '', ...args] = component.argv
    // containerd takes the first shim of the PATH, which must not be that of the machine's own Docker.
    const PATH = `${dirname(program)}:${process.env['PATH']}`
    const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, PATH } })
    component.pid = child.pid ?? 0
    await once(child, 'exit').catch(() => undefined)
    component.pid = 0
    component.restarts++
    await sleep(Date.now() - started < slowRestartMs ? slowRestartMs : restartMs)
  }
}

async function statusOf({ name, pid, restarts, health }: Running): Promise<ComponentStatus> {
  return { name, pid, restarts, healthy: pid > 0 && (await healthy(health)) }
}

async function nodeReady(): Promise<boolean> {
  const { users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { users: [{ user: { token: string } }] }
  const headers = { authorization: `Bearer ${users[0].user.token}` }
  const [node, account] = await Promise.all([
    get(`${apiServer}/api/v1/nodes/${nodeName}`, headers),
    get(`${apiServer}/api/v1/namespaces/default/serviceaccounts/default`, headers),
  ])
  if (node.status !== 200 || account.status !== 200) return false
  const { status } = JSON.parse(node.body) as { status: { conditions?: { type: string; status: string }[] } }
  return status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

async function nodeStatus(running: readonly Running[]): Promise<NodeStatus> {
  const [ready, components] = await Promise.all([nodeReady(), Promise.all(running.map(statusOf))])
  return { components, nodeReady: ready }
}

function serveStatus(running: readonly Running[]): void {
  createServer((_, response) => {
    void nodeStatus(running).then((status) => response.end(JSON.stringify(status)))
  }).listen(supervisorSocket)
}

if (import.meta.main) {
  prepareMounts()
  prepareNetwork()
  const built = JSON.parse(readFileSync(join(nodeDir, 'built.json'), 'utf8')) as Built
  const running = components(built).map((component) => ({ ...component, pid: 0, restarts: 0 }))
  serveStatus(running)
  for (const component of running) void keepRunning(component)
}
