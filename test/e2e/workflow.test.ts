// The example workflow as users write it, run whole through act: checkout, the action from `./`, outputs, post step.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { goTool, meshEnv } from '../mesh/index.ts'
import { deploySampleApp, embedded, liveWeights, type World } from './world.ts'

const root = resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-act-'))
let world: World

beforeAll(async () => {
  world = await embedded()
  await deploySampleApp(world, 'healthy')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a workflow on this machine, in the mesh's network, with nothing of this user's own configuration of act. */
async function act(workflow: string, secrets: Record<string, string>, vars: Record<string, string>): Promise<{ code: number; log: string }> {
  const file = (name: string, values: Record<string, string>) => {
    const path = join(folder, name)
    writeFileSync(path, Object.entries(values).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join('\n'), { mode: 0o600 })
    return path
  }
  const argv = [await goTool('act'), 'workflow_dispatch', '--directory', root, '--workflows', workflow, '--platform', 'ubuntu-latest=-self-hosted', '--secret-file', file('secrets', secrets), '--var-file', file('vars', vars)]
  const [program = '', ...args] = world.runner.enter!(argv)
  const child = spawn(program, args, { env: { ...process.env, ...world.runner.env, HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), XDG_CONFIG_HOME: join(folder, 'config'), KUBECONFIG: '' } })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()))
  const code = await new Promise<number>((done, fail) => child.once('error', fail).once('close', (status) => done(status ?? 1)))
  return { code, log }
}

test('the example workflow delivers v2, tells its outputs to the next step, and leaves no kubeconfig behind', async () => {
  const kubeconfig = readFileSync(meshEnv()['KUBECONFIG']!, 'utf8')
  const { mirror = '', overlays = '', metrics = '' } = world.inputs
  const { code, log } = await act('.github/workflows/delivery.yml', { KUBECONFIG: kubeconfig }, { CANARY_INTERVAL: '4s', ISTIO_MIRROR: mirror, ISTIO_OVERLAYS: overlays, MESH_METRICS: metrics })

  expect(log).toContain('verdict: promoted, weight: 100, reason: every step passed its checks')
  expect(code).toBe(0)
  expect(log).toMatch(/client version: 1\.31\.0/)
  expect(log).toMatch(/Success - Post/)
  expect(await liveWeights(world)).toEqual({ v1: 0, v2: 100 })
  const { users } = parse(kubeconfig) as { users: { user: { token: string } }[] }
  expect(users[0]!.user.token).toMatch(/^\S{16,}$/)
  expect(log).not.toContain(users[0]!.user.token)
})
