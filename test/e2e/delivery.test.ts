// The main job on the real mesh: a runner runs the built bundle while users send steady traffic.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runner } from './runner.ts'
import { deploySampleApp, embeddedMesh, liveWeights, sampleApp, traffic, type TestCluster } from './world.ts'

const config = `${sampleApp}/mesh.yaml`
let testCluster: TestCluster
let machine: ReturnType<typeof runner>

beforeAll(async () => {
  testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, 'healthy')
  machine = runner(testCluster.runner)
})
afterAll(() => machine.remove())

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])
const inputs = () => ({ ...testCluster.inputs, config, interval: '4s' })
/** Only pods that stay: earlier restarts may have left some that are terminating. */
async function podNames(): Promise<string[]> {
  const { items } = JSON.parse(await kubectl('get', 'pods', '-o', 'json')) as {
    items: { metadata: { uid: string; deletionTimestamp?: string } }[]
  }
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(({ metadata }) => metadata.uid)
}

/** Replaces v2 by another variant, without traffic. */
async function replaceV2(variant: 'healthy' | 'failing' | 'slow' | 'crashing'): Promise<void> {
  await kubectl('delete', 'virtualservice', 'backend', '--ignore-not-found')
  await kubectl('delete', 'deployment', 'backend-v2', '--ignore-not-found')
  await kubectl('wait', '--for=delete', 'pod', '--selector=app=backend,version=v2', '--timeout=60s')
  await kubectl('apply', '-k', `${sampleApp}/v2/${variant}`)
  if (variant !== 'crashing') await kubectl('rollout', 'status', 'deploy/backend-v2', '--timeout=120s')
}

describe('a healthy v2', () => {
  test('is promoted to 100 on a mesh that the same step installs, without a failed request', async () => {
    let promotionBegins = traffic(testCluster)
    const onLine = (line: string) => {
      if (line.startsWith('weight: v1 95')) promotionBegins = traffic(testCluster)
    }
    const { code, outputs, report, summary, post, path } = await machine.run(inputs(), { onLine })
    const [before, after] = [await promotionBegins, await traffic(testCluster)]

    expect(report?.error).toBeUndefined()
    expect(code).toBe(0)
    expect(outputs).toMatchObject({
      verdict: 'promoted',
      weight: '100',
      'istioctl-version': '1.31.0',
      'mesh-version': '1.31.0',
      'cache-hit': 'false',
    })
    expect(outputs['istioctl-path']).toBe(`${path[0]}/istioctl`)
    expect(report?.promotions[0]?.steps.map(({ weight, outcome }) => [weight, outcome])).toEqual([
      [5, 'passed'],
      [25, 'passed'],
      [50, 'passed'],
      [100, 'passed'],
    ])
    expect(report?.promotions[0]?.userRequests.failed).toBe(0)
    expect(report?.promotions[0]?.userRequests.total).toBeGreaterThan(500)
    expect(after.failed - before.failed).toBe(0)
    expect(after.versions['v2']).toBeGreaterThan(before.versions['v2'] ?? 0)
    expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
    expect(report?.pods.map(({ ready, ok }) => [ready, ok])).toEqual(Array(4).fill(['2/2', true]))
    expect(summary).toContain('v2 of backend was promoted')
    expect(post.code).toBe(0)
  })

  test('needs no change, no restart and no download in a second run', async () => {
    const pods = await podNames()
    const { code, outputs, report } = await machine.run(inputs())
    expect(code).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'skipped', weight: '100', changed: '0', 'cache-hit': 'true' })
    expect(report?.restarted).toEqual([])
    expect(report?.stages.map(({ outcome }) => outcome)).toEqual(Array(6).fill('unchanged'))
    expect(await podNames()).toEqual(pods)
    expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
  })

  test('refuses a plaintext request, because mutual TLS is strict', async () => {
    const [pod] = (
      await kubectl('get', 'pods', '-l', 'app=backend,version=v1', '-o', 'jsonpath={.items[*].metadata.name}')
    ).split(' ')
    const plaintext = kubectl('get', '--raw', `/api/v1/namespaces/sample-app/pods/${pod}:3001/proxy/`)
    await expect(plaintext).rejects.toThrow(/connection reset|EOF/)
  })

  test('has its policies in one VirtualService and one DestinationRule', async () => {
    const { items } = JSON.parse(await kubectl('get', 'virtualservices,destinationrules', '-o', 'json')) as {
      items: { kind: string; spec: { http?: object[] } }[]
    }
    expect(items.map(({ kind }) => kind).sort()).toEqual(['DestinationRule', 'VirtualService'])
    expect(items.find(({ kind }) => kind === 'VirtualService')?.spec.http).toMatchObject([
      { match: [{ port: 3001 }], timeout: '10s', retries: { attempts: 3, perTryTimeout: '2s' } },
      { name: 'mesh-canary-other-ports' },
    ])
  })
})

describe('a bad v2 is rolled back', () => {
  test('if it fails 20 % of its requests, and the reason says so', async () => {
    await replaceV2('failing')
    const { code, outputs, report, log } = await machine.run(inputs())
    expect(code).toBe(1)
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/\d+ of \d+ canary requests \(.*%\) failed/)
    // 0 if the first sample with requests to the canary decides.
    expect(outputs['time-to-detect']).toMatch(/^\d+(\.\d+)?$/)
    expect(report?.promotions[0]?.secondsToSafe).toBeLessThan(10)
    expect(log).toContain('::error')
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })

  test('if it is slower than its limit', async () => {
    await replaceV2('slow')
    const { outputs } = await machine.run(inputs())
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    // On a busy machine it is so slow that its callers give up first.
    expect(outputs['reason']).toMatch(/took longer than the limit of p99 \(500 ms\)|failed or were abandoned/)
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })

  test('if it crashes in a loop, and the reason has its exit code and its last log line', async () => {
    await replaceV2('crashing')
    const { outputs } = await machine.run(inputs())
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/container backend .*exit code 1.*this version crashes on purpose/s)
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })
})

describe('a run that is stopped during a promotion', () => {
  test('returns the traffic to stable itself if it is cancelled', async () => {
    await replaceV2('healthy')
    const { outputs, state } = await machine.main(inputs(), whenAt(25, 'SIGINT'))
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0', reason: 'the run was cancelled' })
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
    expect((await machine.post(inputs(), state)).log).not.toContain('::warning')
  })

  test('leaves that to the post step if it is killed', async () => {
    const { state } = await machine.main(inputs(), whenAt(25, 'SIGKILL'))
    expect(await liveWeights(testCluster)).toEqual({ v1: 75, v2: 25 })
    const { code, log } = await machine.post(inputs(), state)
    expect(code).toBe(0)
    expect(log).toContain('all traffic of backend was returned to v1')
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  })
})

/** Sends the process a signal when its log first shows this weight of the canary. */
function whenAt(weight: number, signal: NodeJS.Signals) {
  let kill: ((signal: NodeJS.Signals) => void) | undefined
  return {
    onStart: (_pid: number, send: (signal: NodeJS.Signals) => void) => void (kill = send),
    onLine: (line: string) => line.includes(`v2 ${weight}`) && kill?.(signal),
  }
}
