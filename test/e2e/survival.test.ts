// Interrupted promotions on the real mesh: killed, frozen and cancelled runs, concurrent runs, changes by others of the
// routes, the Lease and the policies, and a canary that changes. All runs have the rights of deploy/rbac/deliver.yaml.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Lease } from '../../src/cluster/objects.ts'
import { status } from '../mesh/index.ts'
import { eventually } from './echo.ts'
import { startHookServer } from './hook-server.ts'
import { runner, type ActionRun, type RunnerOptions } from './runner.ts'
import {
  applyObjects,
  delivererKubeconfig,
  deploySampleApp,
  drippingPod,
  embeddedMesh,
  liveWeights,
  metricNames,
  sampleApp,
  type TestCluster,
} from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let kubeconfig: string

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'sample-app', ...args])
const allAtV1 = { v1: 100, v2: 0 }
/** The kinds of the objects that a promotion creates and has to delete. */
const promotionKinds = 'leases,jobs,roles,rolebindings,serviceaccounts,configmaps'
/** What a promotion needs while it runs: all but the record of how the last one ended. */
const promotionObjects = () => {
  const labels = 'app.kubernetes.io/managed-by=mesh-canary,!mesh-canary.io/outcome'
  return kubectl('get', promotionKinds, '-l', labels, '-o', 'name')
}

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  await deploySampleApp(testCluster, 'healthy')
  const ready = await machine.main({
    ...testCluster.inputs,
    config: `${sampleApp}/mesh.yaml`,
    stages: 'install, inject, policies, verify',
  })
  expect(ready.code, ready.log).toBe(0)
  kubeconfig = await delivererKubeconfig(testCluster, machine.home)
})
beforeEach(async () => {
  await runAction({}, { stages: 'rollback' })
  await kubectl('scale', 'deployment/backend-v2', '--replicas=1')
  await kubectl('rollout', 'status', 'deployment/backend-v2', '--timeout=120s')
  await eventually(async () => expect(await promotionObjects()).toBe(''))
})
afterAll(() => machine.remove())

/** `more`: further sections of the config. `account`: another kubeconfig. */
type RunOptions = {
  stages?: string
  options?: RunnerOptions
  env?: Record<string, string>
  more?: object
  account?: string
}

function runAction(
  canary: object,
  { stages = 'promote', options = {}, env = {}, more = {}, account = kubeconfig }: RunOptions = {},
): Promise<ActionRun> {
  const config = join(machine.home, 'survival.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      namespace: 'sample-app',
      canary: {
        service: 'backend',
        steps: [10, 50, 100],
        interval: '4s',
        warmup: 0,
        checks: { tolerance: 10 },
        progressDeadline: '30s',
        guard: '5s',
        metrics: metricNames,
        ...canary,
      },
      ...more,
    }),
  )
  return machine.main(
    { config, stages, kubeconfig: account },
    { ...options, env: { ...testCluster.runner.env, ...env } },
  )
}

/** Runs `work` once, when the log has a line that starts like this. */
function onLogLine(start: string, work: (kill: (signal: NodeJS.Signals) => void) => unknown): RunnerOptions {
  let kill: (signal: NodeJS.Signals) => void = () => undefined
  let done = false
  return {
    onStart: (_, how) => (kill = how),
    onLine: (line) => {
      if (done || !line.startsWith(start)) return
      done = true
      void work(kill)
    },
  }
}
const killAt = (start: string) => onLogLine(start, (kill) => kill('SIGKILL'))
const lease = async () => JSON.parse(await kubectl('get', 'lease', 'mesh-canary-backend', '-o', 'json')) as Lease
const steps = ({ report }: ActionRun) => report?.promotions[0]?.steps.map(({ weight, outcome }) => [weight, outcome])

test('a promotion has a guard while it runs, and leaves only its weights and the record of its outcome behind', async () => {
  let during = ''
  const { outputs } = await runAction(
    {},
    { options: onLogLine('weight: v1 50', async () => (during = await promotionObjects())) },
  )
  expect(outputs['verdict']).toBe('promoted')
  for (const kind of ['lease', 'job', 'role', 'rolebinding', 'serviceaccount', 'configmap'])
    expect(during).toMatch(new RegExp(`^${kind}[^/]*/mesh-canary-backend`, 'm'))
  await eventually(async () => expect(await promotionObjects()).toBe(''))
})

describe('after a kill without a post step,', () => {
  test('the guard returns all traffic to stable and reports it, and a later run repeats the step', async () => {
    await runAction({}, { options: killAt('at weight 50') })
    expect(await liveWeights(testCluster)).toEqual({ v1: 50, v2: 50 })
    await eventually(async () => expect(await liveWeights(testCluster)).toEqual(allAtV1))
    await eventually(async () => expect((await lease()).spec?.holderIdentity).toBe(''))
    expect(
      JSON.parse(await kubectl('get', 'events', '--field-selector=reason=CanaryRolledBack', '-o', 'json')),
    ).toMatchObject({
      items: expect.arrayContaining([
        expect.objectContaining({
          message: expect.stringContaining('did not renew its Lease for 5 s') as string,
        }) as object,
      ]) as object[],
    })

    const again = await runAction({})
    expect(again.outputs['verdict']).toBe('promoted')
    expect(steps(again)).toEqual([
      [10, 'passed'],
      [50, 'interrupted'],
      [50, 'passed'],
      [100, 'passed'],
    ])
  })

  test('the next run takes over the Lease of a run that had not written a weight yet', async () => {
    await runAction({}, { options: killAt('at weight 0') })
    const { outputs, log } = await runAction({})
    // On a busy machine the Lease has expired before this run sees it, so that it need not wait.
    expect(log).toContain('resumes an earlier run')
    expect(outputs['verdict']).toBe('promoted')
  })
})

const istiodIp = () => {
  const first = ['-l', 'app=istiod', '-o', 'jsonpath={.items[0].status.podIP}']
  return testCluster.run(['kubectl', '-n', 'istio-system', 'get', 'pods', ...first])
}

/** Stops the run's process until someone has released its Lease, as on a runner that is suspended. */
const freeze = async (kill: (signal: NodeJS.Signals) => void) => {
  kill('SIGSTOP')
  await eventually(async () => expect((await lease()).spec?.holderIdentity).toBe('')).catch(() => undefined)
  kill('SIGCONT')
}

test('a run that is frozen until its guard has rolled back writes nothing more, and does not succeed', async () => {
  const { code, outputs } = await runAction({}, { options: onLogLine('at weight 50', freeze) })
  expect(code).not.toBe(0)
  expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
  expect(outputs['reason']).toContain('did not renew its Lease for 5 s')
  expect(await liveWeights(testCluster)).toEqual(allAtV1)
})

test('a run whose Lease is deleted, and its guard with it, returns all traffic to stable', async () => {
  const remove = onLogLine('at weight 50', () => kubectl('delete', 'lease', 'mesh-canary-backend'))
  const { outputs } = await runAction({}, { options: remove })
  expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
  expect(outputs['reason']).toContain('the Lease sample-app/mesh-canary-backend was deleted')
  expect(await liveWeights(testCluster)).toEqual(allAtV1)
})

test('the guard also returns the traffic of a route that appeared during the promotion', async () => {
  const split = [50, 50].map((weight, i) => ({ destination: { host: 'backend', subset: `v${i + 1}` }, weight }))
  const late = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'late', namespace: 'sample-app' },
    spec: { hosts: ['late.test'], http: [{ route: split }] },
  }
  const apply = () => applyObjects(testCluster, [late])
  const watchers = [onLogLine('at weight 50', apply), killAt('the guard also restores')]
  try {
    await runAction(
      { onDrift: 'take-over' },
      {
        options: {
          onStart: (...args) => watchers.forEach(({ onStart }) => onStart?.(...args)),
          onLine: (line) => watchers.forEach(({ onLine }) => onLine?.(line)),
        },
      },
    )
    await eventually(async () => {
      const weights = await kubectl('get', 'vs', 'late', '-o', 'jsonpath={.spec.http[0].route[*].weight}')
      expect(weights).toMatch(/^100( 0)?$/)
      expect(await liveWeights(testCluster)).toEqual(allAtV1)
    })
  } finally {
    await kubectl('delete', 'vs', 'late', '--ignore-not-found')
  }
})

test('a bad canary is rolled back at once beside a pod whose sidecar answers a byte per second', async () => {
  const remove = await drippingPod(testCluster)
  await kubectl('set', 'env', 'deploy/backend-v2', 'FAIL_RATE=0.5')
  await kubectl('rollout', 'status', 'deploy/backend-v2', '--timeout=120s')
  try {
    const { outputs } = await runAction({})
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['time-to-detect']).toMatch(/^\d/)
    expect(Number(outputs['time-to-detect'])).toBeLessThan(10)
  } finally {
    await remove()
    await kubectl('set', 'env', 'deploy/backend-v2', 'FAIL_RATE-')
  }
})

test('an API server that is away for 3 s when the promotion ends leaves all traffic where the run says', async () => {
  const pid = (await status())!.components.find(({ name }) => name === 'kube-apiserver')!.pid
  const pause = async () => {
    process.kill(pid, 'SIGSTOP')
    await sleep(3_000).finally(() => process.kill(pid, 'SIGCONT'))
  }
  const { outputs, log } = await runAction({}, { options: onLogLine('decision: promoted', pause) })
  expect(outputs['verdict'], log).toBe('promoted')
  // A guard would have acted by then.
  await sleep(7_000)
  expect(await liveWeights(testCluster)).toEqual({ v1: 0, v2: 100 })
})

test('policies with weights from the file are refused during a promotion, which continues', async () => {
  const versions = { subsets: { v1: { version: 'v1' }, v2: { version: 'v2' } }, traffic: { v1: 70, v2: 30 } }
  const services = JSON.stringify({ backend: { port: 3001, ...versions, weights: 'from-file' } })
  const config = `${sampleApp}/mesh.yaml`
  const { url, approve } = await startHookServer(testCluster)
  let policies: ActionRun | undefined
  const first = await runAction(
    // The promotion goes on to its last step when the run of the policies has ended.
    { webhooks: { policies: { type: 'confirm-promotion', url: `${url}/told` } } },
    {
      options: onLogLine('at weight 50', async () => {
        policies = await machine.main({ ...testCluster.inputs, config, stages: 'policies', services })
        approve()
      }),
    },
  )
  expect(policies?.report?.error, first.log).toContain(
    'promotes backend, and this run would change the weights of the VirtualService sample-app/backend',
  )
  expect(first.outputs['verdict'], first.log).toBe('promoted')
})

test('the second of two concurrent runs fails and names the first, which continues undisturbed', async () => {
  const run = { GITHUB_SERVER_URL: 'https://github.test', GITHUB_REPOSITORY: 'shop/backend', GITHUB_RUN_ID: '42' }
  let second: Promise<ActionRun> | undefined
  const first = await runAction({}, { env: run, options: onLogLine('at weight 10', () => (second = runAction({}))) })
  expect((await second!).report?.error).toContain(
    'another run promotes backend: https://github.test/shop/backend/actions/runs/42/attempts/1, since',
  )
  expect(first.outputs['verdict']).toBe('promoted')
})

test('an experiment is refused during a promotion, unless it says that it may run then', async () => {
  await testCluster.run(['kubectl', 'label', 'namespace', 'sample-app', 'mesh-canary.io/experiments=allowed'])
  // The budget protects the only pod, so that the promotion is not disturbed.
  await kubectl('create', 'poddisruptionbudget', 'backend', '--selector=app=backend', '--min-available=100%')
  const inject = { podKill: { workload: 'deploy/backend' } }
  const times = { steadyState: '2s', duration: '4s', confirmTimeout: '10s', minRequests: 1 }
  const trial = { service: 'backend', inject, maxAffected: '100%', metrics: metricNames, ...times }
  const experiment = (settings: object) => {
    const text = JSON.stringify({ namespace: 'sample-app', experiments: { trial: { ...trial, ...settings } } })
    const config = machine.file('trial.json', text)
    return machine.main({ config, stages: 'experiment' })
  }
  const { url, approve } = await startHookServer(testCluster)
  const runs: ActionRun[] = []
  const promotion = await runAction(
    { webhooks: { experiments: { type: 'confirm-promotion', url: `${url}/told` } } },
    {
      options: onLogLine('at weight 50', async () => {
        runs.push(await experiment({}), await experiment({ during: 'promotion' }))
        approve()
      }),
    },
  )
  await kubectl('delete', 'poddisruptionbudget', 'backend')
  expect(promotion.outputs['verdict'], promotion.log).toBe('promoted')
  const [refused, during] = runs
  expect(refused!.log).toContain('another run promotes backend')
  expect(during!.outputs['experiment-verdict'], during!.log).toBe('inconclusive')
  expect(during!.log).toContain('a PodDisruptionBudget forbids it')
  await eventually(async () => expect(await kubectl('get', 'leases', '-o', 'name')).not.toContain('mesh-canary'))
})

describe('a long promotion', () => {
  test('a promotion longer than its run keeps its weight under the watch of its guard, and the next run continues it', async () => {
    const { url, approve } = await startHookServer(testCluster)
    const canary = { steps: [10, 100], webhooks: { approval: { type: 'confirm-promotion', url: `${url}/told` } } }
    const runUntilHeld = () => runAction(canary, { more: { runFor: '40s' } })
    let first = await runUntilHeld()
    // On a slow machine the time of a run may end before its guard has started.
    for (let attempt = 1; attempt < 3 && first.outputs['weight'] === '0'; attempt++) first = await runUntilHeld()
    expect(first.code, first.log).toBe(0)
    expect(first.outputs, first.log).toMatchObject({ verdict: 'held', weight: '10' })
    const left = await lease()
    expect(left.spec?.holderIdentity).toMatch(/^handed over by /)
    // By then the guard would have acted for a run that was lost.
    await sleep(Date.parse(left.spec!.renewTime!) + 8_000 - Date.now())
    expect(await liveWeights(testCluster)).toEqual({ v1: 90, v2: 10 })
    const guards = ['-l', 'mesh-canary.io/guard=backend', '--field-selector=status.phase=Running', '-o', 'name']
    expect(await kubectl('get', 'pods', ...guards)).toMatch(/^pod\//)
    approve()
    const second = await runAction(canary)
    expect(second.log).toContain('resumes an earlier run')
    expect(second.outputs['verdict'], second.log).toBe('promoted')
    await eventually(async () => expect(await promotionObjects()).toBe(''))
  })

  test('a promotion survives a token that is revoked meanwhile', async () => {
    const boundToken = async (secret: string) => {
      await kubectl('create', 'secret', 'generic', secret)
      const bound = ['--bound-object-kind=Secret', `--bound-object-name=${secret}`]
      return (await kubectl('create', 'token', 'mesh-canary', ...bound)).trim()
    }
    const accountWith = (name: string, user: object) => {
      const content = JSON.parse(readFileSync(kubeconfig, 'utf8')) as { users: { name: string }[] }
      const users = content.users.map((each) => ({ name: each.name, user }))
      return machine.file(name, JSON.stringify({ ...content, users }))
    }
    const token = await boundToken('first-token')
    const old = accountWith('old.json', { token })
    const account = accountWith('rotated.json', { tokenFile: machine.file('token', `${token}\n`) })
    const { url, approve } = await startHookServer(testCluster)
    let isRefused = false
    const rotate = onLogLine('at weight 50', async () => {
      machine.file('token', `${await boundToken('second-token')}\n`)
      await kubectl('delete', 'secret', 'first-token')
      // The API server remembers for some seconds that a token was good.
      await vi.waitFor(
        () => expect(testCluster.run(['kubectl', '--kubeconfig', old, 'get', 'ns'])).rejects.toThrow('Unauthorized'),
        { timeout: 60_000, interval: 1_000 },
      )
      isRefused = true
      approve()
    })
    try {
      const webhooks = { rotation: { type: 'confirm-promotion', url: `${url}/told` } }
      const { outputs, log } = await runAction({ webhooks }, { account, options: rotate })
      expect(outputs['verdict'], log).toBe('promoted')
      expect(isRefused).toBe(true)
    } finally {
      await kubectl('delete', 'secret', 'second-token', '--ignore-not-found')
    }
  })
})

describe('a run that is cancelled', () => {
  const interruptAt = (start: string) => onLogLine(start, (kill) => kill('SIGINT'))

  test('returns the traffic to stable at once and releases the Lease, and the next run repeats the step', async () => {
    let at = 0
    const { outputs } = await runAction(
      {},
      { options: onLogLine('at weight 50', (kill) => ((at = Date.now()), kill('SIGINT'))) },
    )
    expect(Date.now() - at).toBeLessThan(8_000)
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(await liveWeights(testCluster)).toEqual(allAtV1)
    expect((await lease()).spec?.holderIdentity).toBe('')
    expect(steps(await runAction({}))).toEqual([
      [10, 'passed'],
      [50, 'interrupted'],
      [50, 'passed'],
      [100, 'passed'],
    ])
  })

  test('keeps the weight if `onCancel` is `hold`', async () => {
    const { outputs } = await runAction({ onCancel: 'hold' }, { options: interruptAt('at weight 50') })
    expect(outputs).toMatchObject({ verdict: 'held', weight: '50' })
    // The guard ended with the run, so nothing changes the weight.
    await sleep(8_000)
    expect(await liveWeights(testCluster)).toEqual({ v1: 50, v2: 50 })
  })
})

test('the stage rollback takes the promotion over from a running run', async () => {
  let back: Promise<ActionRun> | undefined
  const first = await runAction(
    {},
    { options: onLogLine('at weight 50', () => (back = runAction({}, { stages: 'rollback' }))) },
  )
  expect((await back!).outputs['verdict']).toBe('rolled-back')
  expect(first.report?.error).toContain('this run lost the promotion')
  expect(await liveWeights(testCluster)).toEqual(allAtV1)
})

describe('if somebody else changes the routes during a promotion,', () => {
  const changeWeights = () =>
    onLogLine('at weight 50', () =>
      kubectl(
        'patch',
        'virtualservice',
        'backend',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/http/0/route/0/weight","value":70},{"op":"replace","path":"/spec/http/0/route/1/weight","value":30}]',
      ),
    )

  test('the run names the writer, and returns all traffic to stable', async () => {
    const { outputs } = await runAction({}, { options: changeWeights() })
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(
      /VirtualService sample-app\/backend gives the canary 30, 50% instead of 50%: kubectl-patch wrote it at/,
    )
    expect(await liveWeights(testCluster)).toEqual(allAtV1)
  })

  test('the run writes its own weights again if `onDrift` is `take-over`', async () => {
    expect((await runAction({ onDrift: 'take-over' }, { options: changeWeights() })).outputs['verdict']).toBe(
      'promoted',
    )
  })

  test('the run restores its routes if the split is missing', async () => {
    const removeSplit = onLogLine('at weight 50', () =>
      kubectl(
        'patch',
        'virtualservice',
        'backend',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/http","value":[{"route":[{"destination":{"host":"backend","subset":"v2"}}]}]}]',
      ),
    )
    const { outputs } = await runAction({}, { options: removeSplit })
    expect(outputs['reason']).toContain('no longer splits traffic between v1 and v2: kubectl-patch wrote it')
    expect(await liveWeights(testCluster)).toEqual(allAtV1)
  })
})

test('a run creates deleted routes again, with all traffic at stable', async () => {
  const { outputs } = await runAction(
    {},
    { options: onLogLine('at weight 50', () => kubectl('delete', 'virtualservice', 'backend')) },
  )
  expect(outputs['reason']).toContain('VirtualService sample-app/backend was deleted during the promotion')
  expect(await liveWeights(testCluster)).toEqual(allAtV1)
})

describe('a canary that changes during its promotion', () => {
  const during = (work: () => Promise<unknown>) => runAction({}, { options: onLogLine('at weight 50', work) })

  test('is promoted after a restart and a scale-up, because the version is the same', async () => {
    const { outputs } = await during(async () => {
      await kubectl('scale', 'deployment/backend-v2', '--replicas=2')
      await kubectl('rollout', 'restart', 'deployment/backend-v2')
    })
    expect(outputs['verdict']).toBe('promoted')
  })

  test('is rolled back after a change of its template, because the evidence so far is about the old version', async () => {
    const { outputs } = await during(() => kubectl('set', 'env', 'deployment/backend-v2', `STAMP=${Date.now()}`))
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toContain('Deployment/backend-v2 was changed during its promotion')
  })

  test('is rolled back if it is scaled to zero', async () => {
    const { outputs } = await during(() => kubectl('scale', 'deployment/backend-v2', '--replicas=0'))
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toContain('Deployment/backend-v2 was scaled to 0 during its promotion')
  })

  test('is rolled back if it loses its only pod, because nothing would serve its users', async () => {
    const { outputs } = await during(() =>
      kubectl('delete', 'pod', '-l', 'app=backend,version=v2', '--grace-period=0', '--force', '--wait=false'),
    )
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/no ready pod of v2 is behind the Service|has no ready pod left|was restarted/)
  })
})

describe('a guard that cannot start', () => {
  test('keeps all traffic at stable if its image is missing, and the reason says so', async () => {
    const { outputs } = await runAction({
      progressDeadline: '8s',
      guard: { after: '5s', image: '127.0.0.1:1/nosuch:1' },
    })
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(
      /the guard Job did not start within 8 s \(`progressDeadline`\): container guard: the image 127.0.0.1:1\/nosuch:1 cannot be pulled/,
    )
    expect(await liveWeights(testCluster)).toEqual(allAtV1)
  })

  test('fails the run before any change if the rights are missing, and the error says what to do', async () => {
    await kubectl('delete', 'rolebinding', 'mesh-canary-guards')
    try {
      const { report } = await runAction({})
      expect(report?.error).toMatch(
        /the guard of backend cannot be created .*forbidden.*deploy\/rbac\/deliver.yaml, or set `guard: off`/,
      )
      expect((await runAction({ guard: 'off' })).outputs['verdict']).toBe('promoted')
    } finally {
      kubeconfig = await delivererKubeconfig(testCluster, machine.home)
    }
  })
})

test('a promotion waits for a killed API server and continues', async () => {
  const pid = (await status())!.components.find(({ name }) => name === 'kube-apiserver')!.pid
  // On a busy machine the server needs more than five seconds to start again.
  const { outputs, log } = await runAction(
    { guard: '60s' },
    { options: onLogLine('at weight 10', () => process.kill(pid, 'SIGKILL')) },
  )
  expect(outputs['verdict'], log).toBe('promoted')
})

describe('if istiod no longer receives changes,', () => {
  /** Drops the API server's responses to istiod, as if its watches failed for a while. The webhook still works. */
  const blockIstiod = async () => {
    const istiod = await istiodIp()
    const rule = ['OUTPUT', '-d', istiod, '-p', 'tcp', '--sport', '6443', '-j', 'DROP']
    await testCluster.run(['iptables', '-I', ...rule])
    return () => testCluster.run(['iptables', '-D', ...rule])
  }
  const stillServing = expect.stringMatching(
    /weight 0 is in VirtualService sample-app\/backend, and \d+ s later the proxies still send \d+\.\d requests\/s to v2 of backend: .* of its \d+ requests to v2, and istiod has not told their proxies \(istiod-\S+ is ready; this run cannot read its log\).*istioctl proxy-status/,
  ) as string

  test('the run and the stage rollback fail and say what to check, until istiod receives changes again', async () => {
    const failFile = join(machine.home, 'bad')
    let unblock: () => Promise<unknown> = () => Promise.resolve()
    const blockAtStep50 = onLogLine('at weight 50', async () => {
      unblock = await blockIstiod()
      writeFileSync(failFile, '')
    })
    try {
      const { outputs, report } = await runAction(
        { progressDeadline: '20s', checks: { commands: { ok: { run: ['test', '!', '-e', failFile], every: '1s' } } } },
        { options: blockAtStep50 },
      )
      expect(outputs).toMatchObject({ verdict: 'inconclusive', weight: '0', reason: stillServing })
      expect(report?.error).toEqual(stillServing)
      expect(await liveWeights(testCluster)).toEqual(allAtV1)
      expect((await runAction({ progressDeadline: '10s' }, { stages: 'rollback' })).report?.error).toEqual(stillServing)
    } finally {
      await unblock()
    }
    const { code, log } = await runAction({ progressDeadline: '60s' }, { stages: 'rollback' })
    expect(code, log).toBe(0)
    expect(log).toMatch(/the canary is drained|no request to the canary ended/)
  })
})

test('no secret appears in the cluster, in the report or in the log', async () => {
  const secret = 'xoxb-4711-very-secret-token'
  let stored = ''
  const webhooks = { chat: { type: 'rollout', url: `http://127.0.0.1:1/hook/${secret}?key=${secret}`, failures: 3 } }
  const { report, log, summary } = await runAction(
    { webhooks },
    {
      options: onLogLine(
        'at weight 10',
        async () => (stored = await kubectl('get', 'lease,configmap,job', '-o', 'json')),
      ),
    },
  )
  expect(stored).toContain('mesh-canary.io/state')
  for (const text of [stored, JSON.stringify(report), summary, log]) expect(text).not.toContain(secret)
})

test("while istiod's webhook is away, the stage rollback fails, and the guard returns the traffic afterwards", async () => {
  const rule = ['OUTPUT', '-d', await istiodIp(), '-p', 'tcp', '--dport', '15017', '-j', 'REJECT']
  let back: Promise<ActionRun> | undefined
  const blockAtStep50 = onLogLine('at weight 50', async () => {
    await testCluster.run(['iptables', '-I', ...rule, '--reject-with', 'tcp-reset'])
    back = runAction({ progressDeadline: '5s' }, { stages: 'rollback' })
  })
  try {
    expect((await runAction({}, { options: blockAtStep50 })).code).not.toBe(0)
    expect((await back!).report?.error).toMatch(/backend was not rolled back: .*webhook/)
    expect(await liveWeights(testCluster)).toEqual({ v1: 50, v2: 50 })
  } finally {
    await testCluster.run(['iptables', '-D', ...rule, '--reject-with', 'tcp-reset'])
  }
  await eventually(async () => expect(await liveWeights(testCluster)).toEqual(allAtV1))
})
