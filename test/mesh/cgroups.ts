// The node's own control group, the same path in every hierarchy: what bounds it, what lists its processes, what tells
// them from everyone else's. Works on cgroup v1, v2 and both at once.
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroup } from './settings.ts'

/** Mount points of all hierarchies. */
function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
  return mounts.filter(([, , type]) => type === 'cgroup' || type === 'cgroup2').map(([, folder = '']) => folder)
}

const ours = (): string[] => hierarchies().map((folder) => join(folder, cgroup))

/** The leaf for the node's own programs; the kubelet makes others beside it for pods. */
const programs = (folder: string): string => join(folder, 'node')

export async function makeCgroups(): Promise<void> {
  for (const folder of ours()) {
    for (const [child, parent] of [
      [folder, join(folder, '..')],
      [programs(folder), folder],
    ] as const) {
      await mkdir(child, { recursive: true })
      await inheritCpuset(parent, child)
    }
  }
}

/** A new group of a v1 cpuset hierarchy has no processor and no memory node, and takes no process until it has. */
async function inheritCpuset(parent: string, child: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (!existsSync(join(parent, name)) || existsSync(join(parent, 'cgroup.controllers'))) continue
    await writeFile(join(child, name), await readFile(join(parent, name)))
  }
}

/** A command line that joins the group and then becomes the given one; it fails when the group is gone. */
export function joining(argv: readonly string[]): string[] {
  const writes = ours().map((folder) => `echo $$ > ${join(programs(folder), 'cgroup.procs')}`)
  return ['sh', '-ec', [...writes, 'exec "$@"'].join('; '), 'sh', ...argv]
}

/** Process ids of all that runs in the group, as this side of the process namespace sees them. */
export async function processes(): Promise<number[]> {
  const pids = new Set<number>()
  for (const folder of (await Promise.all(ours().map(subtree))).flat()) {
    const list = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '')
    for (const pid of list.split('\n').filter(Boolean)) pids.add(Number(pid))
  }
  return [...pids]
}

/** Ends every process of the group and takes the group away. Membership, which the kernel keeps, is what makes them ours. */
export async function removeCgroups(): Promise<void> {
  for (let tries = 0; ; tries++) {
    for (const pid of await processes()) kill(pid)
    const left = (await Promise.all(ours().map(removeTree))).some((removed) => !removed)
    if (!left) return
    if (tries === 200)
      throw new Error(
        `The control group ${cgroup} cannot be removed: processes ${(await processes()).join(', ')} do not end.`,
      )
    await sleep(50)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

async function removeTree(root: string): Promise<boolean> {
  for (const folder of (await subtree(root)).reverse()) {
    await rmdir(folder).catch(() => undefined)
    if (existsSync(folder)) return false
  }
  return true
}

/** A group and all below it, parents first. */
async function subtree(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  const below = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map(({ name }) => subtree(join(root, name))),
  )
  return existsSync(root) ? [root, ...below.flat()] : []
}
