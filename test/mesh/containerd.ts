// containerd: its configuration, and a root folder with images, filled once and copied for each node.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, glob, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { contained, sh } from './shell.ts'

export interface ContainerdConfig {
  /** The folder for images and containers. It must not be on an overlay file system. */
  readonly root: string
  readonly state: string
  readonly socket: string
  /** More TOML, such as the settings of the Kubernetes plugin. */
  readonly more?: string
}

export function containerdConfig({ root, state, socket, more = '' }: ContainerdConfig): string {
  return `version = 4
root = '${root}'
state = '${state}'
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.image-verifier.v1.bindir', 'io.containerd.internal.v1.opt']

[plugins.'io.containerd.server.v1.grpc']
  address = '${socket}'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '${socket}.ttrpc'
${more}`
}

/** Runs a separate containerd on a root folder during `work`. Its mounts stay in its own namespace. */
export async function withContainerd(
  bin: string,
  root: string,
  work: (socket: string) => Promise<void>,
): Promise<void> {
  const state = `${root}.state`
  const socket = join(state, 's')
  await mkdir(state, { recursive: true })
  await writeFile(join(state, 'config.toml'), containerdConfig({ root, state, socket }))
  const containerd = [join(bin, 'containerd'), '--config', join(state, 'config.toml'), '--log-level', 'error']
  const [program, ...args] = contained(containerd)
  const child = spawn(program, args, { stdio: 'inherit' })
  try {
    while (!existsSync(socket)) await sleep(50)
    await work(socket)
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
    await rm(state, { recursive: true, force: true })
  }
}

/** Imports an OCI layout. Blobs that are missing in the layout must exist already. `flags`: more flags of ctr. */
export async function importLayout(
  bin: string,
  socket: string,
  layout: string,
  flags: readonly string[] = [],
): Promise<void> {
  const argv = [join(bin, 'ctr'), '--address', socket, '--namespace', 'k8s.io', 'images', 'import', '--local', ...flags]
  await sh(['sh', '-c', 'tar -C "$0" -cf - . | "$@" -', layout, ...argv])
}

/** Copies a root folder fast: image contents never change, so hard links suffice; only databases need real copies. */
export async function copyRoot(from: string, to: string): Promise<void> {
  await sh(['cp', '-al', from, to])
  for await (const database of glob('*/*.db', { cwd: from })) {
    await rm(join(to, database))
    await copyFile(join(from, database), join(to, database))
  }
}
