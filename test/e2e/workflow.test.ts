// Runs a complete example workflow with act: checkout, the action from `./`, outputs, post step.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { load } from 'js-yaml'
import type { GithubState } from '../github-api.ts'
import { meshEnv } from '../mesh/index.ts'
import { act } from './act.ts'
import { deploySampleApp, embeddedMesh, liveWeights, type TestCluster } from './world.ts'

let testCluster: TestCluster

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, 'healthy')
})

/** GitHub's API, in the mesh's network. */
async function startGithub(token: string): Promise<{ address: string; state: () => Promise<GithubState> }> {
  const options = JSON.stringify({ token, permissions: ['deployments'] })
  const [program = '', ...args] = testCluster.runner.enter!([process.execPath, 'test/github-api.ts', options])
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill())
  const [address] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const read = `fetch(${JSON.stringify(new URL('/state', address))}).then(async (all) => console.log(await all.text()))`
  return {
    address,
    state: async () => JSON.parse(await testCluster.run([process.execPath, '-e', read])) as GithubState,
  }
}

test('the example workflow delivers v2, passes its outputs to the next step, and leaves no kubeconfig behind', async () => {
  const kubeconfig = readFileSync(meshEnv()['KUBECONFIG']!, 'utf8')
  const { mirror = '', overlays = '', metrics = '' } = testCluster.inputs
  const github = await startGithub('token-of-a-test')
  const { code, log } = await act(testCluster, {
    repository: resolve(import.meta.dirname, '../..'),
    workflow: '.github/workflows/delivery.yml',
    secrets: { KUBECONFIG: kubeconfig, GITHUB_TOKEN: 'token-of-a-test' },
    env: { GITHUB_API_URL: github.address, GITHUB_REPOSITORY: 'acme/shop' },
    vars: {
      ENVIRONMENT: 'production',
      CANARY_INTERVAL: '4s',
      ISTIO_MIRROR: mirror,
      ISTIO_OVERLAYS: overlays,
      MESH_METRICS: metrics,
    },
  })

  expect(log).toContain('verdict: promoted, weight: 100, reason: every step passed its checks')
  expect(code).toBe(0)
  expect(log).toMatch(/client version: 1\.31\.0/)
  expect(log).toMatch(/Success - Post/)
  expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
  const { deployments } = await github.state()
  expect(deployments.map(({ environment }) => environment)).toEqual(['production'])
  expect(deployments[0]!.statuses.map(({ state }) => state)).toEqual(['in_progress', 'success'])
  const { users } = load(kubeconfig) as { users: { user: { token: string } }[] }
  expect(users[0]!.user.token).toMatch(/^\S{16,}$/)
  expect(log).not.toContain(users[0]!.user.token)
})
