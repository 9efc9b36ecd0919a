// A control group at the same path in every hierarchy. It limits a node and identifies its processes. Works with
// cgroup v1, v2 and both together. `group` is always the path, such as `/mesh-canary-HASH-node`.
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** The mount points of all hierarchies. */
export function cgroupFolders(): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
  return mounts.filter(([, , type]) => type === 'cgroup' || type === 'cgroup2').map(([, folder = '']) => folder)
}

const groupFolders = (group: string): string[] => cgroupFolders().map((folder) => join(folder, group))

/** The subgroup for the programs themselves. They create groups for containers beside it. */
const programs = (folder: string): string => join(folder, 'programs')

export async function makeCgroups(group: string): Promise<void> {
  for (const folder of groupFolders(group)) {
    for (const [child, parent] of [
      [folder, join(folder, '..')],
      [programs(folder), folder],
    ] as const) {
      await mkdir(child, { recursive: true })
      await inheritCpuset(parent, child)
    }
  }
}

/** A new v1 cpuset group has no processor and no memory node, and accepts no process until both are set. */
async function inheritCpuset(parent: string, child: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (!existsSync(join(parent, name)) || existsSync(join(parent, 'cgroup.controllers'))) continue
    await writeFile(join(child, name), await readFile(join(parent, name)))
  }
}

/** A command line that joins the group and then runs the given one. It fails if the group does not exist. */
export function joining(group: string, argv: readonly string[]): string[] {
  const writes = groupFolders(group).map((folder) => `echo $$ > ${join(programs(folder), 'cgroup.procs')}`)
  return ['sh', '-ec', [...writes, 'exec "$@"'].join('; '), 'sh', ...argv]
}

/** The ids of all processes in the group, as seen from outside the node's process namespace. */
export async function processes(group: string): Promise<number[]> {
  const pids = new Set<number>()
  for (const folder of (await Promise.all(groupFolders(group).map(subtree))).flat()) {
    const list = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '')
    for (const pid of list.split('\n').filter(Boolean)) pids.add(Number(pid))
  }
  return [...pids]
}

/** Kills all processes of the group and deletes the group. Membership in the group proves that they are ours. */
export async function removeCgroups(group: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    for (const pid of await processes(group)) kill(pid)
    const left = (await Promise.all(groupFolders(group).map(removeTree))).some((removed) => !removed)
    if (!left) return
    if (tries === 200)
      throw new Error(
        `The control group ${group} cannot be removed: processes ${(await processes(group)).join(', ')} do not end.`,
      )
    await sleep(50)
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // The process has ended by itself.
  }
}

async function removeTree(root: string): Promise<boolean> {
  for (const folder of (await subtree(root)).reverse()) {
    await rmdir(folder).catch(() => undefined)
    if (existsSync(folder)) return false
  }
  return true
}

/** A group and all its descendants, parents first. */
async function subtree(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  const children = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map(({ name }) => subtree(join(root, name))),
  )
  return existsSync(root) ? [root, ...children.flat()] : []
}
