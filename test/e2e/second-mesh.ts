// A second control plane on this machine: another embedded mesh, whose API server the first one's network can reach.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { vi } from 'vitest'
import type * as Arcade from './arcade.ts'
import type * as Mesh from '../mesh/index.ts'
import { enter as enterFirst } from '../mesh/index.ts'
import { apiServer, kubeconfig as firstKubeconfig } from '../mesh/settings.ts'

const name = process.env['MESH_NODE'] ? `${process.env['MESH_NODE']}-2` : 'second'

/**
 * `openArcade`: makes it a world of shops, as the first mesh has one. `reachable`: a kubeconfig of the second mesh, as text,
 * for use in the network of the first.
 */
export type SecondMesh = {
  openArcade: typeof Arcade.openArcade
  reachable: (kubeconfig: string) => string
  close: () => Promise<void>
}

/** Each mesh has its own network. Both sides meet at a socket file. */
export async function startSecondMesh(): Promise<SecondMesh> {
  const { mesh, openArcade } = await startSecondNode()
  const socket = firstKubeconfig.replace(/kubeconfig$/, 'second-api-server.sock')
  rmSync(socket, { force: true })
  const { hostname, port } = new URL(apiServer)
  const inner = await relay(mesh.enter, { path: socket }, { host: hostname, port: Number(port) })
  const outer = await relay(enterFirst, { host: '127.0.0.1', port: 0 }, { path: socket })
  return {
    openArcade,
    reachable: (file) => readFileSync(file, 'utf8').replaceAll(apiServer, `https://127.0.0.1:${outer.port}`),
    close: async () => {
      inner.child.kill()
      outer.child.kill()
      await mesh.down()
    },
  }
}

/** The modules of the tests once more: they take the name of their node from the environment, and the node does, too. */
async function startSecondNode(): Promise<{ mesh: typeof Mesh; openArcade: typeof Arcade.openArcade }> {
  const before = process.env['MESH_NODE']
  process.env['MESH_NODE'] = name
  try {
    vi.resetModules()
    const [mesh, { openArcade }] = await Promise.all([import('../mesh/index.ts'), import('./arcade.ts')])
    await mesh.up()
    return { mesh, openArcade }
  } finally {
    if (before === undefined) delete process.env['MESH_NODE']
    else process.env['MESH_NODE'] = before
  }
}

type Address = { path: string } | { host: string; port: number }

/** Passes connections on. `port`: on which it listens, unless it is a file. */
async function relay(
  enter: (argv: readonly string[]) => string[],
  from: Address,
  to: Address,
): Promise<{ child: ChildProcess; port: number }> {
  const program = `
    const net = require('node:net')
    const server = net.createServer((near) => {
      const far = net.connect(${JSON.stringify(to)})
      near.pipe(far).pipe(near)
      near.on('error', () => far.destroy())
      far.on('error', () => near.destroy())
    })
    server.listen(${JSON.stringify(from)}, () => console.log(server.address().port ?? 0))`
  const [command = '', ...args] = enter([process.execPath, '-e', program])
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return { child, port: Number(port) }
}
