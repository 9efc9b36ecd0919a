// Promotions on the real mesh: a runner runs the built bundle while users send steady traffic. Each option of a plan
// has a test here. traffic.test.ts tests how the objects change.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { eventually } from './echo.ts'
import { startHookServer } from './hook-server.ts'
import { runner, type ActionRun, type RunnerOptions } from './runner.ts'
import {
  applyObjects,
  delivererKubeconfig,
  deploySampleApp,
  embeddedMesh,
  liveWeights,
  metricNames,
  traffic,
  type Traffic,
  type TestCluster,
} from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
/** All runs after the installation have only the rights of deploy/rbac/deliver.yaml. */
let kubeconfig: string | undefined

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await deploySampleApp(testCluster, 'healthy')
  await apply(deployment('reviews', 'v1'), deployment('reviews', 'v2'), service('reviews'), reader, beta)
  // A new v2 replaces the old one at once, so that both never run together.
  for (const name of ['backend-v2', 'reviews-v2'])
    await kubectl(
      'patch',
      'deployment',
      name,
      '--type=merge',
      '-p',
      '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}',
    )
  const { code, log } = await runAction({ service: 'backend' }, { stages: 'install, inject, policies, verify' })
  expect(code, log).toBe(0)
  kubeconfig = await delivererKubeconfig(testCluster, machine.home)
})
beforeEach(() => Promise.all(['backend', 'reviews'].map(backToStable)))
afterAll(() => machine.remove())

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])
const apply = (...items: object[]) => applyObjects(testCluster, items)

/** The Deployment of one version of a service that is a copy of the backend. */
function deployment(app: string, version: string): object {
  const secret = { secretKeyRef: { name: 'mysql', key: 'password' } }
  const env = [
    { name: 'VERSION', value: version },
    { name: 'MYSQL_USER', value: 'sample' },
    { name: 'MYSQL_DATABASE', value: 'sample' },
    { name: 'MYSQL_PASSWORD', valueFrom: secret },
  ]
  return workload(
    version === 'v1' ? app : `${app}-${version}`,
    { app, version },
    {
      command: ['node', 'backend.js'],
      env,
      ports: [{ name: 'http', containerPort: 3001 }],
      readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1 },
    },
  )
}

function workload(name: string, labels: Record<string, string>, container: object): object {
  const containers = [
    { name: labels['app'], image: 'docker.io/mesh-canary/sample-app:1', imagePullPolicy: 'IfNotPresent', ...container },
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'sample-app' },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 4, containers } },
    },
  }
}

const service = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'sample-app' },
  spec: { selector: { app: name }, ports: [{ name: 'http', port: 3001 }] },
})

/** The client of the service reviews. */
const reader = workload(
  'reader',
  { app: 'reader', version: 'v1' },
  {
    command: ['node', 'frontend.js'],
    env: [
      { name: 'BACKEND_URL', value: 'http://reviews:3001/' },
      { name: 'STEADY_RPS', value: '30' },
    ],
  },
)

/** A client that requests the beta of the backend ten times a second, and counts responses as the frontend does. */
const beta = workload(
  'beta',
  { app: 'beta', version: 'v1' },
  {
    command: [
      'node',
      '-e',
      `
    const traffic = { sent: 0, failed: 0, versions: {} }
    const answer = (response) => (response.ok ? response.json() : Promise.reject())
    const ask = () => fetch('http://backend:3001/', { headers: { 'x-beta': '1' } }).then(answer).then(
      ({ version }) => (traffic.sent++, traffic.versions[version] = (traffic.versions[version] ?? 0) + 1),
      () => (traffic.sent++, traffic.failed++),
    )
    setInterval(ask, 100)
    setInterval(() => console.log(JSON.stringify({ traffic })), 1000)
    process.on('SIGTERM', () => process.exit())`,
    ],
  },
)

const subsets = { v1: { version: 'v1' }, v2: { version: 'v2' } }
const policy = { port: 3001, retries: { attempts: 0 }, subsets }
const reviews = { ...policy, traffic: { v1: 100, v2: 0 } }

type RunOptions = { stages?: string; sections?: object; options?: RunnerOptions }

/** Runs the action with these canaries and other sections in its config file. */
function runAction(
  canary: object | object[],
  { stages = 'policies, promote', sections = {}, options = {} }: RunOptions = {},
): Promise<ActionRun> {
  const withDefaults = (plan: { checks?: object }) => ({
    interval: '4s',
    warmup: 0,
    steps: [50, 100],
    progressDeadline: '30s',
    metrics: metricNames,
    ...plan,
    // In short steps a canary serves few requests, so that only a larger tolerance certifies it.
    checks: { tolerance: 10, ...plan.checks },
  })
  const plans = Array.isArray(canary) ? { canaries: canary.map(withDefaults) } : { canary: withDefaults(canary) }
  const config = join(machine.home, 'mesh.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      name: 'promotion',
      namespace: 'sample-app',
      istio: { version: '1.31.0', profile: 'demo' },
      mtls: 'strict',
      workloads: [
        'deploy/frontend',
        'deploy/reader',
        'deploy/beta',
        'deploy/backend',
        'deploy/backend-v2',
        'deploy/reviews',
        'deploy/reviews-v2',
        'deploy/mysql',
      ],
      services: { backend: policy, reviews },
      ...plans,
      ...sections,
    }),
  )
  const { mirror = '', overlays = '' } = testCluster.inputs
  return machine.main(
    { mirror, overlays, config, stages, ...(kubeconfig === undefined ? {} : { kubeconfig }) },
    options,
  )
}

/** Replaces v2 by one with these environment variables. */
async function deployV2(env: Record<string, string> = {}, app = 'backend'): Promise<void> {
  const unset = ['FAIL_RATE', 'DELAY_MS', 'SLOW_RATE', 'SLOW_MS', 'CRASH_AFTER_MS']
    .filter((name) => !(name in env))
    .map((name) => `${name}-`)
  await setEnv(`${app}-v2`, ...unset, ...Object.entries(env).map(([name, value]) => `${name}=${value}`))
}

async function setEnv(name: string, ...env: string[]): Promise<void> {
  await kubectl('set', 'env', `deployment/${name}`, ...env)
  await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=120s')
}

/** Does what the stage rollback does, but only for one service, and faster. */
const backToStable = (service: string) =>
  testCluster.run([
    process.execPath,
    join(import.meta.dirname, 'call.ts'),
    'resetToStable',
    JSON.stringify([
      { namespace: 'sample-app', service, stable: { by: 'subset', name: 'v1' }, canary: { by: 'subset', name: 'v2' } },
    ]),
  ])

/** The reason of a rollback because of failed requests. */
const failedRequestsReason = /^(success rate|no worse than stable): \d+ of \d+ canary requests \(.*%\) failed/
const spec = async () =>
  (JSON.parse(await kubectl('get', 'virtualservice', 'backend', '-o', 'json')) as { spec: object }).spec
const steps = ({ report }: ActionRun, of = 0) =>
  report?.promotions[of]?.steps.map(({ kind, weight, outcome }) => [kind, weight, outcome])

/** What the frontend counted during `work`, and what it logged of each failure. */
async function countDuring<T>(work: () => Promise<T>): Promise<{ result: T; counted: Traffic; failures: string[] }> {
  const [before, since] = [await traffic(testCluster), new Date().toISOString()]
  const result = await work()
  await sleep(2_000)
  const after = await traffic(testCluster)
  const log = await kubectl('logs', 'deploy/frontend', '-c', 'frontend', '--timestamps', `--since-time=${since}`)
  const failures = log.split('\n').filter((line) => line.includes(' backend: '))
  return { result, counted: difference(after, before), failures }
}

function difference(after: Traffic, before: Traffic): Traffic {
  const versions = Object.fromEntries(
    Object.entries(after.versions).map(([version, count]) => [version, count - (before.versions[version] ?? 0)]),
  )
  return { sent: after.sent - before.sent, failed: after.failed - before.failed, versions }
}

describe('before the first weight,', () => {
  test('a bad v2 fails on mirrored requests, and no user gets a response from it', async () => {
    await deployV2({ FAIL_RATE: '0.5' })
    const before = await spec()
    const { result, counted, failures } = await countDuring(() =>
      runAction({ service: 'backend', mirror: { percent: '100%' } }),
    )
    expect(result.outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(result.outputs['reason']).toMatch(failedRequestsReason)
    expect(steps(result)).toEqual([['mirror', 100, 'failed']])
    expect(failures).toEqual([])
    expect(counted.versions['v2'] ?? 0).toBe(0)
    expect(counted.sent).toBeGreaterThan(100)
    expect(await spec()).toEqual(before)
  })

  test('a good v2 serves the requests with a header, and then all requests', async () => {
    await deployV2()
    const before = { frontend: await traffic(testCluster), beta: await traffic(testCluster, 'beta') }
    let during: Promise<Traffic[]> | undefined
    let samples = 0
    const onLine = (line: string) => {
      if (line.startsWith('matching:') && ++samples === 3)
        during = Promise.all([traffic(testCluster), traffic(testCluster, 'beta')])
    }
    const { result, failures } = await countDuring(() =>
      runAction(
        // With a line for each sample.
        { service: 'backend', explain: true, ab: { match: { headers: { 'x-beta': '1' } }, intervals: 2 } },
        { options: { onLine } },
      ),
    )
    expect(result.outputs, result.log).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(steps(result)).toEqual([
      ['ab', 0, 'passed'],
      ['weight', 50, 'passed'],
      ['weight', 100, 'passed'],
    ])
    expect(failures).toEqual([])
    const [users, testers] = (await during)!
    expect(difference(users!, before.frontend).versions['v2'] ?? 0).toBe(0)
    expect(difference(testers!, before.beta).versions['v2']).toBeGreaterThan(0)
    expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
    expect(JSON.stringify(await spec())).not.toContain('mesh-canary-ab')
  })
})

describe('a healthy v2', () => {
  beforeAll(() => deployV2())

  test('gets all traffic in one step of a blue-green plan', async () => {
    const { result, failures } = await countDuring(() => runAction({ service: 'backend', steps: [100] }))
    expect(result.outputs, result.log).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(steps(result)).toEqual([['weight', 100, 'passed']])
    expect(failures).toEqual([])
  })

  test('stops at `until`, continues from there in a later run, and is rolled back on request', async () => {
    const { result: held, failures } = await countDuring(() =>
      runAction({ service: 'backend', steps: [25, 50, 100], until: 50 }),
    )
    expect(held.code, held.log).toBe(0)
    expect(held.outputs).toMatchObject({ verdict: 'held', weight: '50' })
    expect(await liveWeights(testCluster)).toEqual({ v1: 50, v2: 50 })
    const again = await runAction({ service: 'backend', steps: [25, 50, 100], until: 50 })
    expect(again.outputs).toMatchObject({ verdict: 'skipped', weight: '50' })
    const on = await runAction({ service: 'backend', steps: [25, 50, 100] })
    expect(on.outputs, on.log).toMatchObject({ verdict: 'promoted', weight: '100' })
    // The report has all steps of the promotion, including those of earlier runs.
    expect(steps(on)).toEqual([
      ['weight', 25, 'passed'],
      ['weight', 50, 'passed'],
      ['weight', 100, 'passed'],
    ])
    const returned = await runAction({ service: 'backend' }, { stages: 'rollback' })
    expect(returned.code, returned.log).toBe(0)
    expect(returned.outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
    expect(failures).toEqual([])
  })
})

describe('a bad v2', () => {
  test('is rolled back, and the report has its last log lines and its failed requests', async () => {
    await deployV2({ FAIL_RATE: '0.2' })
    const { code, outputs, report, summary, log } = await runAction({ service: 'backend' })
    expect(code).toBe(1)
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    const counts = /\d+ of \d+ \(\d+(\.\d+)?%\)/.exec(outputs['reason']!)![0]
    const annotations = log.split('\n').filter((line) => line.startsWith('::error'))
    expect(annotations.join('\n')).toContain(counts.replaceAll('%', '%25'))
    expect(annotations.join('\n')).toContain('500: this version fails on purpose')
    expect(summary).toContain('500: this version fails on purpose')
    expect(summary).toContain(counts)
    expect(report?.promotions[0]?.diagnosis?.[0]?.pod).toMatch(/^backend-v2-/)
    expect(report?.promotions[0]?.secondsToSafe).toBeLessThan(10)
  })

  test('is rolled back if it hangs, because requests that time out count as failed', async () => {
    await deployV2({ DELAY_MS: '60000' })
    const sections = { services: { backend: { ...policy, timeout: '1s' }, reviews } }
    const { outputs, report, log } = await runAction({ service: 'backend' }, { sections })
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(failedRequestsReason)
    expect(report?.promotions[0]?.userRequests.failed).toBeGreaterThan(0)
  })
})

describe('a v2 whose pods are broken', () => {
  const container = (change: object) =>
    kubectl(
      'patch',
      'deployment',
      'backend-v2',
      '--type=strategic',
      '-p',
      JSON.stringify({ spec: { template: { spec: { containers: [{ name: 'backend', ...change }] } } } }),
    )
  /** Waits until the old pod is gone, so that the run sees only the new one. */
  const untilReplaced = () =>
    eventually(async () =>
      expect(JSON.parse(await kubectl('get', 'deployment', 'backend-v2', '-o', 'json'))).toMatchObject({
        status: { unavailableReplicas: 1, updatedReplicas: 1 },
      }),
    )

  test('gets no traffic if it never becomes ready, and the error has the cause', async () => {
    onTestFinished(() =>
      container({ readinessProbe: { httpGet: { path: '/healthz', port: 'http' } } }).then(() => undefined),
    )
    await container({ readinessProbe: { httpGet: { path: '/healthz', port: 9 } } })
    await untilReplaced()
    const { result, counted } = await countDuring(() =>
      runAction({ service: 'backend', progressDeadline: '8s' }, { stages: 'promote' }),
    )
    expect(result.outputs, result.log).toMatchObject({
      verdict: 'rolled-back',
      weight: '0',
      reason: expect.stringContaining(
        "the canary's pods did not become ready within 8 s (`progressDeadline`)",
      ) as string,
    })
    expect(result.log).toMatch(/::error.*Readiness probe failed/)
    expect(counted.versions['v2'] ?? 0).toBe(0)
  })

  test('is rolled back if it runs out of memory', async () => {
    const hog =
      'const kept = []; setInterval(() => kept.push(Buffer.alloc(4e6, 1)), 100); import(process.cwd() + "/backend.js")'
    await deployV2()
    const [limit, command] = [{ limits: { memory: '400Mi' } }, ['node', '-e', hog]]
    onTestFinished(() =>
      container({ resources: { limits: { memory: null } }, command: ['node', 'backend.js'] }).then(() => undefined),
    )
    await container({ resources: limit, command })
    const { outputs, log } = await runAction({ service: 'backend', interval: '60s' }, { stages: 'promote' })
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    // The annotation names the cause, whether the run noticed the failed requests or the end of the container first.
    expect(log).toMatch(/::error.*more memory than its limit of 400Mi/)
  })
})

describe('latency', () => {
  const baseEnv = { DELAY_MS: '120', SLOW_RATE: '0.05', SLOW_MS: '400' }
  const plan = { service: 'backend', steps: [50], interval: '40s' }
  beforeAll(() => setEnv('backend', ...Object.entries(baseEnv).map((pair) => pair.join('='))))
  afterAll(() => setEnv('backend', ...Object.keys(baseEnv).map((name) => `${name}-`)))

  // Far beyond stable's own slow requests: a busy machine delays those too, and moves their bucket.
  test('rolls a v2 back if its slow requests take far longer', async () => {
    await deployV2({ ...baseEnv, SLOW_MS: '3000' })
    const { outputs, log } = await runAction(plan)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/took longer than (500|1000|2500) ms, stable's own p99/)
  })

  test('does not roll a v2 back if it is slower within a bucket', async () => {
    await deployV2({ ...baseEnv, DELAY_MS: '200' })
    const { outputs, log } = await runAction(plan)
    expect(outputs, log).toMatchObject({ verdict: 'held', weight: '50' })
  })
})

describe('commands and webhooks', () => {
  beforeAll(() => deployV2())

  test('roll the canary back if a command fails, with its last line as the reason', async () => {
    const run = [
      'node',
      '-e',
      'console.log("looking"); console.log(`no cart at weight ${process.env.MESH_CANARY_WEIGHT}`); process.exit(1)',
    ]
    const { outputs, log } = await runAction({
      service: 'backend',
      checks: { commands: { smoke: { run, every: '1s', failures: 2 } } },
    })
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0', reason: 'smoke: no cart at weight 50' })
  })

  test('hold the last step until it is confirmed', async () => {
    const { url, calls } = await startHookServer(testCluster)
    const webhooks = {
      ok: { type: 'confirm-promotion', url: `${url}/third`, metadata: { team: 'shop' } },
      chat: { type: 'event', url: `${url}/always` },
      bye: { type: 'post-rollout', url: `${url}/always` },
    }
    // Slow requests on a busy machine would revoke the proof, and the run would ask again.
    const checks = { noWorseThanStable: { latency: false } }
    const { outputs, log } = await runAction({ service: 'backend', webhooks, checks })
    expect(outputs, log).toMatchObject({ verdict: 'promoted', weight: '100' })
    const confirmations = calls.filter(({ type }) => type === 'confirm-promotion')
    expect(confirmations).toHaveLength(3)
    expect(confirmations[0]).toMatchObject({
      name: 'backend',
      namespace: 'sample-app',
      phase: 'WaitingPromotion',
      canaryWeight: 50,
      metadata: { team: 'shop' },
    })
    await eventually(() => Promise.resolve(expect(calls.map(({ type }) => type)).toContain('post-rollout')))
    expect(calls.filter(({ type }) => type === 'event').at(-1)).toMatchObject({ phase: 'Succeeded' })
  })

  test('roll the canary back if a rollback hook approves', async () => {
    const { url } = await startHookServer(testCluster)
    const { outputs, log } = await runAction({
      service: 'backend',
      interval: '60s',
      webhooks: { stop: { type: 'rollback', url: `${url}/third` } },
    })
    expect(outputs, log).toMatchObject({
      verdict: 'rolled-back',
      weight: '0',
      reason: 'the webhook stop requested a rollback',
    })
  })
})

describe('several services', () => {
  beforeAll(() => deployV2())

  const both = (second: object = {}) => [
    { service: 'backend', interval: '8s' },
    { service: 'reviews', ...second },
  ]

  test('move together, and both are rolled back if one fails', async () => {
    await deployV2({ FAIL_RATE: '0.3' }, 'reviews')
    const { code, outputs, report, summary } = await runAction(both())
    expect(code).toBe(1)
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(report?.promotions.map(({ service, verdict }) => [service, verdict])).toEqual([
      ['backend', 'rolled-back'],
      ['reviews', 'rolled-back'],
    ])
    expect(report?.promotions[0]?.reason).toBe('rolled back together with reviews')
    expect(outputs['reason']).toMatch(failedRequestsReason)
    for (const service of ['backend', 'reviews'])
      expect(await liveWeights(testCluster, service)).toEqual({ v1: 100, v2: 0 })
    expect(summary.match(/^## /gm)).toHaveLength(1)
    for (const title of ['### v2 of backend', '### v2 of reviews']) expect(summary).toContain(title)
  })

  test('of a promoted wave are rolled back if a later wave fails', async () => {
    await deployV2({ FAIL_RATE: '0.3' }, 'reviews')
    const result = await runAction(both({ wave: 2 }))
    expect(result.report?.promotions.map(({ service, verdict, reason }) => [service, verdict, reason])).toMatchObject([
      ['backend', 'rolled-back', 'rolled back together with reviews'],
      ['reviews', 'rolled-back', expect.stringMatching(failedRequestsReason)],
    ])
    expect(steps(result)).toEqual([
      ['weight', 50, 'passed'],
      ['weight', 100, 'passed'],
    ])
    for (const service of ['backend', 'reviews'])
      expect(await liveWeights(testCluster, service)).toEqual({ v1: 100, v2: 0 })
  })

  test('are promoted wave by wave if all are healthy', async () => {
    await deployV2({}, 'reviews')
    const { outputs, report, log } = await runAction(both({ wave: 2 }))
    expect(outputs, log).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(report?.promotions.map(({ verdict }) => verdict)).toEqual(['promoted', 'promoted'])
  })
})

test('a run reads the counters of each pod once per poll, and never reads what a watch already provides', async () => {
  await deployV2()
  const before = await apiRequests()
  const { outputs, log, report } = await runAction({ service: 'backend', interval: '10s' }, { stages: 'promote' })
  const after = await apiRequests()
  expect(outputs, log).toMatchObject({ verdict: 'promoted' })
  const samples = log.split('\n').filter((line) => line.startsWith('at weight')).length
  const count = (request: RegExp) =>
    [...after].reduce((sum, [key, times]) => (request.test(key) ? sum + times - (before.get(key) ?? 0) : sum), 0)
  // A run reads both versions and their two clients for each sample and once before. It reads the other four pods once
  // before, for the first sample, after 1, 2, 4 and 8 more samples, and then for every tenth.
  const reads = count(/ pods proxy$/)
  expect(reads).toBeGreaterThan(samples)
  expect(reads).toBeLessThanOrEqual(4 * (samples + 1) + 4 * (6 + Math.floor(samples / 10)))
  // One list shows that the subsets select pods, and the watch starts from another.
  expect(count(/^LIST pods$/)).toBeLessThanOrEqual(2)
  // The kubelet reads pods that have just started or ended: v2 and the guard.
  expect(count(/^GET pods$/)).toBeLessThan(samples)
  // Each sample also needs one request that renews the Lease and saves the progress. Each write needs one more, so do
  // the record of the outcome and the end of the Lease, and a heartbeat comes for a sample that takes more than a second
  // on a busy machine.
  const { seconds } = report!.stages.find(({ name }) => name === 'promote')!
  const heartbeats = Math.max(0, Math.floor(seconds - samples))
  expect(count(/^PATCH leases$/)).toBeLessThanOrEqual(samples + 2 * 3 + 6 + heartbeats)
  // The rest is read at the start, and once before each write: it must not grow with the samples. Only the labels of the
  // subsets are read again every ten seconds. The kubelet's GETs of pods, counted above, are not the run's.
  expect(samples).toBeGreaterThan(10)
  expect(count(/^((LIST|PATCH) pods|(LIST|GET|PATCH) (deployments|virtualservices))$/)).toBeLessThan(25)
  expect(count(/^LIST destinationrules$/)).toBeLessThan(6 + seconds / 10)
})

/** The number of requests to the API server, by verb and resource. */
async function apiRequests(): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const line of (await kubectl('get', '--raw', '/metrics')).split('\n')) {
    const label = (name: string) => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? ''
    if (!line.startsWith('apiserver_request_total{')) continue
    const key = [label('verb'), label('resource'), label('subresource')].filter(Boolean).join(' ')
    counts.set(key, (counts.get(key) ?? 0) + Number(line.split(' ').at(-1)))
  }
  return counts
}

describe('without users', () => {
  const host = 'shop.example.com'
  const sections = { expose: { backend: { port: 3001, hosts: [host] } } }
  const plan = { service: 'backend', steps: [50, 100], load: { path: '/', host } }
  beforeAll(() => kubectl('scale', 'deployment', 'frontend', 'beta', '--replicas=0'))
  afterAll(async () => {
    await kubectl('scale', 'deployment', 'frontend', 'beta', '--replicas=1')
    await kubectl('rollout', 'status', 'deployment/frontend', '--timeout=120s')
  })

  test('synthetic requests through the gateway promote a healthy v2', async () => {
    await deployV2()
    const result = await runAction(plan, { sections })
    expect(result.outputs, result.log).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(result.report?.promotions[0]?.userRequests).toMatchObject({ failed: 0 })
    expect(result.report?.promotions[0]?.userRequests.total).toBeGreaterThan(100)
  })

  test('synthetic requests roll a failing v2 back', async () => {
    await deployV2({ FAIL_RATE: '0.3' })
    const result = await runAction(plan, { sections })
    expect(result.outputs, result.log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(result.outputs['reason']).toMatch(failedRequestsReason)
  })

  test('synthetic requests show an experiment that a fault hurts, and that it is gone', async () => {
    await testCluster.run(['kubectl', 'label', 'namespace', 'sample-app', 'mesh-canary.io/experiments=allowed'])
    const trial = {
      service: 'backend',
      load: plan.load,
      inject: { abort: { status: 503, percent: '50%' } },
      expect: { successRate: '90%' },
      stopBelow: '2%',
      steadyState: '4s',
      duration: '6s',
      metrics: metricNames,
    }
    // Who promotes may not inject faults.
    const deliverer = kubeconfig
    kubeconfig = undefined
    const stages = 'policies, experiment'
    const result = await runAction(plan, { stages, sections: { ...sections, experiments: { trial } } })
    kubeconfig = deliverer
    expect(result.outputs['experiment-verdict'], result.log).toBe('fragile')
    expect(result.report!.experiments![0]!.before.requests).toBeGreaterThanOrEqual(50)
    expect(result.report!.experiments![0]!).toMatchObject({ recovery: 'confirmed' })
  })
})

test('stable adopts the promoted version without a failed request', async () => {
  await deployV2()
  const { result, failures } = await countDuring(() => runAction({ service: 'backend', after: 'adopt' }))
  expect(result.outputs, result.log).toMatchObject({ verdict: 'promoted' })
  expect(result.report?.promotions[0]).toMatchObject({ adopted: true })
  expect(await liveWeights(testCluster)).toEqual({ v1: 100, v2: 0 })
  const [stable, canary] = await Promise.all(
    ['backend', 'backend-v2'].map(
      async (name) =>
        (
          JSON.parse(await kubectl('get', 'deployment', name, '-o', 'json')) as {
            spec: { replicas: number; template: { spec: object } }
          }
        ).spec,
    ),
  )
  expect(stable!.template.spec).toEqual(canary!.template.spec)
  expect([stable!.replicas, canary!.replicas]).toEqual([1, 0])
  expect(failures).toEqual([])
  await eventually(async () =>
    expect((await countDuring(() => Promise.resolve())).counted.versions).toMatchObject({ v1: 0 }),
  )
  const again = await runAction({ service: 'backend', after: 'adopt' })
  expect([again.code, again.outputs['verdict']], again.log).toEqual([0, 'skipped'])
})
