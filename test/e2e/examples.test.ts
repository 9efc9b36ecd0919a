// Runs the unchanged workflows of examples/workflows with act in a user's checkout, in the order in which a team would
// adopt them. Not covered: `cluster: kind`, which needs Docker (.github/workflows/kind.yml runs it), and what only
// GitHub does: the approval for the environment `production`, the wait for `concurrency`, and the schedule.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dump, load } from 'js-yaml'
import { loadConfig } from '../../src/config/load.ts'
import { gatewayValues, nodePorts } from '../../src/kind/layout.ts'
import { meshEnv } from '../mesh/index.ts'
import { nodeAddress } from '../mesh/settings.ts'
import { act, type Trigger } from './act.ts'
import { checkout } from './checkout.ts'
import { delivererKubeconfig, embeddedMesh, liveWeights, type TestCluster } from './world.ts'

let testCluster: TestCluster
let repository: string
let admin: string
let deliverer: string

beforeAll(async () => {
  testCluster = await embeddedMesh()
  repository = checkout(testCluster)
  // A fixed node port, as with kind.
  withSet(gatewayValues(loadConfig({ INPUT_CLUSTER: 'kind' }).cluster))
  admin = readFileSync(meshEnv()['KUBECONFIG']!, 'utf8')
  await testCluster.run(['kubectl', 'delete', 'namespace', 'sample-app', '--ignore-not-found', '--wait'])
})
afterAll(() => rmSync(repository, { recursive: true, force: true }))

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])
const run = (name: string, trigger: Partial<Trigger> = {}) =>
  act(testCluster, { repository, workflow: `examples/workflows/${name}.yml`, ...trigger })
const runAsDeliverer = (name: string, trigger: Partial<Trigger> = {}) =>
  run(name, { secrets: { KUBECONFIG: deliverer }, ...trigger })
const pullRequest = {
  on: 'pull_request',
  event: { action: 'opened', number: 7, pull_request: { number: 7, head: { ref: 'change' }, base: { ref: 'main' } } },
} as const
const timeoutOfBackend = () => kubectl('get', 'virtualservice', 'backend', '-o', 'jsonpath={.spec.http[0].timeout}')

describe('preview.yml, on a pull request', () => {
  test('installs the mesh, deploys the application, and every pod is ready with its sidecar', async () => {
    const vars = { PREVIEW_KUBECONFIG: meshEnv()['KUBECONFIG']!, PREVIEW_ADDRESS: `${nodeAddress}:${nodePorts.http}` }
    const { code, log } = await run('preview', {
      ...pullRequest,
      vars,
      env: { PATH: `${withoutDocker()}:${meshEnv()['PATH']!}` },
    })
    expect(log).toMatch(/frontend-\S+ {2}2\/2/)
    expect(code).toBe(0)
    expect(await timeoutOfBackend()).toBe('10s')
    deliverer = readFileSync(await delivererKubeconfig(testCluster, repository), 'utf8')
  })
})

describe('plan.yml, on a pull request', () => {
  test('shows the difference to the cluster for a branch, and changes nothing', async () => {
    const { code, log } = await withConfig(
      (text) => text.replace('timeout: 10s', 'timeout: 5s'),
      () => runAsDeliverer('plan', pullRequest),
    )
    expect(log).toMatch(/-.*timeout: 10s/)
    expect(log).toMatch(/\+.*timeout: 5s/)
    // The last two objects expose the preview, and are not in the config file.
    expect(log).toContain('objects that would be created, changed or deleted - 3')
    expect(code).toBe(0)
    expect(await timeoutOfBackend()).toBe('10s')
  })

  test('renders the policies without a cluster for a fork, which gets no secrets', async () => {
    const { code, log } = await run('plan', pullRequest)
    expect(log).toContain('kind: VirtualService')
    expect(code).toBe(0)
  })
})

describe('gated-canary.yml', () => {
  test('rolls the canary back if nobody approves', async () => {
    // GitHub fails a job whose approval is refused. act has no approvals, so this job fails by itself.
    const workflow = load(readFileSync(join(repository, 'examples/workflows/gated-canary.yml'), 'utf8')) as {
      jobs: Record<string, object>
    }
    const refused = {
      ...workflow,
      jobs: { ...workflow.jobs, promote: { ...workflow.jobs['promote'], steps: [{ run: 'exit 1' }] } },
    }
    writeFileSync(join(repository, 'examples/workflows/refused.yml'), dump(refused))
    const { code, log } = await runAsDeliverer('refused')
    expect(log).toContain('the routes send all traffic of backend to v1')
    expect(code).toBe(1)
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })

  test('stops at 25, and continues from there in the job after the approval', async () => {
    const { code, log } = await runAsDeliverer('gated-canary')
    expect(log).toContain('verdict: promoted, weight: 100')
    expect(log).not.toContain('all traffic of backend is back')
    expect(code).toBe(0)
    expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
  })
})

describe('drift.yml, on its schedule', () => {
  test('succeeds while the cluster matches the repository, and accepts promoted weights', async () => {
    const { code } = await runAsDeliverer('drift', { on: 'schedule' })
    expect(code).toBe(0)
  })

  test('fails and shows the difference if a policy is missing', async () => {
    await kubectl('delete', 'peerauthentication', 'default')
    const { code, log } = await runAsDeliverer('drift', { on: 'schedule' })
    expect(log).toContain('PeerAuthentication default: create')
    expect(log).toContain('1 objects in the cluster are not what the repository says')
    expect(code).toBe(1)
  })

  test('fails if somebody changed a policy by hand, and names the tool', async () => {
    await kubectl(
      'patch',
      'virtualservice',
      'backend',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/http/0/timeout","value":"99s"}]',
    )
    const { code, log } = await runAsDeliverer('drift', { on: 'schedule' })
    expect(log).toContain(
      'VirtualService sample-app/backend has fields that another manager owns: conflict with "kubectl-patch"',
    )
    expect(code).toBe(1)
  })
})

describe('teardown.yml', () => {
  test('only lists what it would delete by default', async () => {
    const { code, log } = await run('teardown', {
      secrets: { KUBECONFIG: admin },
      event: { inputs: { 'dry-run': 'true' } },
    })
    expect(log).toContain('VirtualService sample-app/backend: would be removed')
    expect(code).toBe(0)
    expect(await timeoutOfBackend()).toBe('99s')
  })

  test('deletes the mesh on request', async () => {
    const { code } = await run('teardown', {
      secrets: { KUBECONFIG: admin },
      event: { inputs: { 'dry-run': 'false' } },
    })
    expect(code).toBe(0)
    expect(await kubectl('get', 'pods', '-o', 'jsonpath={.items[*].spec.initContainers[*].name}')).not.toContain(
      'istio-proxy',
    )
    expect(await testCluster.run(['kubectl', 'get', 'namespace', 'istio-system', '--ignore-not-found'])).toBe('')
  })
})

/** Adds a value for `istioctl install --set` to the config of the checkout. */
function withSet(set: string[]): void {
  const file = join(repository, 'examples/sample-app/mesh.yaml')
  const config = load(readFileSync(file, 'utf8')) as { istio: object }
  writeFileSync(file, dump({ ...config, istio: { ...config.istio, set } }))
}

/** Runs `work` while the checkout has another config, as on a branch. */
async function withConfig<T>(change: (text: string) => string, work: () => Promise<T>): Promise<T> {
  const file = join(repository, 'examples/sample-app/mesh.yaml')
  const before = readFileSync(file, 'utf8')
  writeFileSync(file, change(before))
  return work().finally(() => writeFileSync(file, before))
}

/** A PATH folder with a fake `docker`: the mesh already has the image, and no Docker could build it here. */
function withoutDocker(): string {
  const folder = join(repository, '.bin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'docker'), '#!/bin/sh\necho "not built: docker $*"\n', { mode: 0o755 })
  return folder
}
