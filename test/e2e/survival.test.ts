// Promotions that are cut short, on the real mesh: runs that are killed or cancelled, two at once, others who write the
// routes, a canary that changes under them. All with the rights of deploy/rbac/deliver.yaml.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Lease } from '../../src/cluster/objects.ts'
import { status } from '../mesh/index.ts'
import { soon } from './echo.ts'
import { runner, type ActionRun, type RunnerOptions } from './runner.ts'
import { asDeliverer, deploySampleApp, embedded, liveWeights, sampleApp, type World } from './world.ts'

let world: World
let machine: ReturnType<typeof runner>
let kubeconfig: string

const kubectl = (...args: string[]) => world.run(['kubectl', '-n', 'sample-app', ...args])
const metrics = { requests: 'envoy_istio_requests_total', duration: 'envoy_istio_request_duration_milliseconds' }
const allAtV1 = { v1: 100, v2: 0 }
/** What a promotion leaves when it has ended, and what it needs while it runs. */
const parts = 'leases,jobs,roles,rolebindings,serviceaccounts,configmaps'
const ours = () => kubectl('get', parts, '-l', 'app.kubernetes.io/managed-by=mesh-canary', '-o', 'name')

beforeAll(async () => {
  world = await embedded()
  machine = runner(world.runner)
  await deploySampleApp(world, 'healthy')
  const ready = await machine.main({
    ...world.inputs,
    config: `${sampleApp}/mesh.yaml`,
    stages: 'install, inject, policies, verify',
  })
  expect(ready.code, ready.log).toBe(0)
  kubeconfig = await asDeliverer(world, machine.home)
})
beforeEach(async () => {
  await act({}, { stages: 'rollback' })
  await kubectl('scale', 'deployment/backend-v2', '--replicas=1')
  await kubectl('rollout', 'status', 'deployment/backend-v2', '--timeout=120s')
  await soon(async () => expect(await ours()).toBe(''))
})
afterAll(() => machine.remove())

type More = { stages?: string; options?: RunnerOptions; env?: Record<string, string> }

function act(canary: object, { stages = 'promote', options = {}, env = {} }: More = {}): Promise<ActionRun> {
  const config = join(machine.home, 'survival.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      namespace: 'sample-app',
      canary: {
        service: 'backend',
        steps: [10, 50, 100],
        interval: '4s',
        progressDeadline: '30s',
        guard: '5s',
        metrics,
        ...canary,
      },
    }),
  )
  return machine.main({ config, stages, kubeconfig }, { ...options, env: { ...world.runner.env, ...env } })
}

/** Does something once a line of the log is told. */
function when(start: string, work: (kill: (signal: NodeJS.Signals) => void) => unknown): RunnerOptions {
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
const killed = (start: string) => when(start, (kill) => kill('SIGKILL'))
const lease = async () => JSON.parse(await kubectl('get', 'lease', 'mesh-canary-backend', '-o', 'json')) as Lease
const steps = ({ report }: ActionRun) => report?.promotions[0]?.steps.map(({ weight, outcome }) => [weight, outcome])

test('a promotion that ends leaves nothing behind but its weights, and had a guard on duty', async () => {
  let during = ''
  const { outputs } = await act({}, { options: when('weight: v1 50', async () => (during = await ours())) })
  expect(outputs['verdict']).toBe('promoted')
  for (const kind of ['lease', 'job', 'role', 'rolebinding', 'serviceaccount', 'configmap'])
    expect(during).toMatch(new RegExp(`^${kind}[^/]*/mesh-canary-backend`, 'm'))
  await soon(async () => expect(await ours()).toBe(''))
})

describe('a run that is killed, with nobody left to clean up', () => {
  test('in the middle of a step: the guard puts all traffic back and says so, and a re-run goes on with the step', async () => {
    await act({}, { options: killed('at weight 50') })
    expect(await liveWeights(world)).toEqual({ v1: 50, v2: 50 })
    await soon(async () => expect(await liveWeights(world)).toEqual(allAtV1))
    await soon(async () => expect((await lease()).spec?.holderIdentity).toBe(''))
    expect(
      JSON.parse(await kubectl('get', 'events', '--field-selector=reason=CanaryRolledBack', '-o', 'json')),
    ).toMatchObject({
      items: expect.arrayContaining([
        expect.objectContaining({
          message: expect.stringContaining('did not renew its Lease for 5 s') as string,
        }) as object,
      ]) as object[],
    })

    const again = await act({})
    expect(again.outputs['verdict']).toBe('promoted')
    expect(steps(again)).toEqual([
      [10, 'passed'],
      [50, 'interrupted'],
      [50, 'passed'],
      [100, 'passed'],
    ])
  })

  test('before its first weight: there is no traffic to put back, and the next run takes the Lease over', async () => {
    await act({}, { options: killed('at weight 0') })
    const { outputs, log } = await act({})
    expect(log).toContain('waiting to see whether that run is alive')
    expect(outputs['verdict']).toBe('promoted')
  })
})

test('two runs at once: the second is told whose the first is, and the first is not disturbed', async () => {
  const run = { GITHUB_SERVER_URL: 'https://github.test', GITHUB_REPOSITORY: 'shop/backend', GITHUB_RUN_ID: '42' }
  let second: Promise<ActionRun> | undefined
  const first = await act({}, { env: run, options: when('at weight 10', () => (second = act({}))) })
  expect((await second!).report?.error).toContain(
    'another run promotes backend: https://github.test/shop/backend/actions/runs/42/attempts/1, since',
  )
  expect(first.outputs['verdict']).toBe('promoted')
})

describe('a run that is cancelled', () => {
  const interrupted = (start: string) => when(start, (kill) => kill('SIGINT'))

  test('puts its traffic back at once and lets go, and the next one takes the step again', async () => {
    let at = 0
    const { outputs } = await act({}, { options: when('at weight 50', (kill) => ((at = Date.now()), kill('SIGINT'))) })
    expect(Date.now() - at).toBeLessThan(8_000)
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(await liveWeights(world)).toEqual(allAtV1)
    expect((await lease()).spec?.holderIdentity).toBe('')
    expect(steps(await act({}))).toEqual([
      [10, 'passed'],
      [50, 'interrupted'],
      [50, 'passed'],
      [100, 'passed'],
    ])
  })

  test('leaves it where it is when that is asked for', async () => {
    const { outputs } = await act({ onCancel: 'hold' }, { options: interrupted('at weight 50') })
    expect(outputs).toMatchObject({ verdict: 'held', weight: '50' })
    // The guard has gone with the run: nobody puts it back.
    await sleep(8_000)
    expect(await liveWeights(world)).toEqual({ v1: 50, v2: 50 })
  })
})

test('the stage rollback takes the promotion from a run that lives', async () => {
  let back: Promise<ActionRun> | undefined
  const first = await act({}, { options: when('at weight 50', () => (back = act({}, { stages: 'rollback' }))) })
  expect((await back!).outputs['verdict']).toBe('rolled-back')
  expect(first.report?.error).toContain('this run lost the promotion')
  expect(await liveWeights(world)).toEqual(allAtV1)
})

describe('somebody else writes the weights in the middle', () => {
  const meddle = () =>
    when('at weight 50', () =>
      kubectl(
        'patch',
        'virtualservice',
        'backend',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/http/0/route/0/weight","value":70},{"op":"replace","path":"/spec/http/0/route/1/weight","value":30}]',
      ),
    )

  test('and the run says who, and puts all back', async () => {
    const { outputs } = await act({}, { options: meddle() })
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(
      /VirtualService sample-app\/backend gives the canary 30% instead of 50%: kubectl-patch wrote it at/,
    )
    expect(await liveWeights(world)).toEqual(allAtV1)
  })

  test('and the run writes its own again where that is asked for', async () => {
    expect((await act({ onDrift: 'take-over' }, { options: meddle() })).outputs['verdict']).toBe('promoted')
  })

  test('and takes the routes away: those of before come back', async () => {
    const removed = when('at weight 50', () =>
      kubectl(
        'patch',
        'virtualservice',
        'backend',
        '--type=json',
        '-p',
        '[{"op":"replace","path":"/spec/http","value":[{"route":[{"destination":{"host":"backend","subset":"v2"}}]}]}]',
      ),
    )
    const { outputs } = await act({}, { options: removed })
    expect(outputs['reason']).toContain('no longer splits traffic between v1 and v2: kubectl-patch wrote it')
    expect(await liveWeights(world)).toEqual(allAtV1)
  })
})

test('somebody deletes the routes in the middle: they are made again, with all traffic at stable', async () => {
  const { outputs } = await act(
    {},
    { options: when('at weight 50', () => kubectl('delete', 'virtualservice', 'backend')) },
  )
  expect(outputs['reason']).toContain('VirtualService sample-app/backend was deleted during the promotion')
  expect(await liveWeights(world)).toEqual(allAtV1)
})

describe('in the middle of its promotion the canary', () => {
  const during = (work: () => Promise<unknown>) => act({}, { options: when('at weight 50', work) })

  test('is restarted and scaled up: it is the same version, and is promoted', async () => {
    const { outputs } = await during(async () => {
      await kubectl('scale', 'deployment/backend-v2', '--replicas=2')
      await kubectl('rollout', 'restart', 'deployment/backend-v2')
    })
    expect(outputs['verdict']).toBe('promoted')
  })

  test('gets another template: the evidence so far is about the old version', async () => {
    const { outputs } = await during(() => kubectl('set', 'env', 'deployment/backend-v2', `STAMP=${Date.now()}`))
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toContain('Deployment/backend-v2 was changed during its promotion')
  })

  test('is scaled to zero', async () => {
    const { outputs } = await during(() => kubectl('scale', 'deployment/backend-v2', '--replicas=0'))
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toContain('Deployment/backend-v2 was scaled to 0 during its promotion')
  })

  test('loses its only pod: users would ask nobody', async () => {
    const { outputs } = await during(() =>
      kubectl('delete', 'pod', '-l', 'app=backend,version=v2', '--grace-period=0', '--force', '--wait=false'),
    )
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/the canary has no ready pod left|was restarted/)
  })
})

describe('a guard that cannot do its duty', () => {
  test('for want of its image: nothing moves, and the cause is told', async () => {
    const { outputs } = await act({ progressDeadline: '8s', guard: { after: '5s', image: '127.0.0.1:1/nosuch:1' } })
    expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(
      /the guard Job did not start within 8 s \(`progressDeadline`\): container guard: the image 127.0.0.1:1\/nosuch:1 cannot be pulled/,
    )
    expect(await liveWeights(world)).toEqual(allAtV1)
  })

  test('for want of rights: nothing is touched, and the way out is told', async () => {
    await kubectl('delete', 'rolebinding', 'mesh-canary-guards')
    try {
      const { report } = await act({})
      expect(report?.error).toMatch(
        /canary.guard: the guard of backend cannot be created .*forbidden.*deploy\/rbac\/deliver.yaml, or set `guard: off`/,
      )
      expect((await act({ guard: 'off' })).outputs['verdict']).toBe('promoted')
    } finally {
      kubeconfig = await asDeliverer(world, machine.home)
    }
  })
})

test('the API server is killed in the middle: the promotion waits for it and goes on', async () => {
  const pid = (await status())!.components.find(({ name }) => name === 'kube-apiserver')!.pid
  const { outputs, log } = await act({}, { options: when('at weight 10', () => process.kill(pid, 'SIGKILL')) })
  expect(outputs['verdict'], log).toBe('promoted')
})

describe('istiod hears of no write any more', () => {
  /** Answers of the API server do not come to istiod, as when its watches are refused for a while; the webhook goes on. */
  const cutOff = async () => {
    const istiod = await world.run([
      'kubectl',
      '-n',
      'istio-system',
      'get',
      'pods',
      '-l',
      'app=istiod',
      '-o',
      'jsonpath={.items[0].status.podIP}',
    ])
    const rule = ['OUTPUT', '-d', istiod, '-p', 'tcp', '--sport', '6443', '-j', 'DROP']
    await world.run(['iptables', '-I', ...rule])
    return () => world.run(['iptables', '-D', ...rule])
  }
  const serving = expect.stringMatching(
    /weight 0 is in VirtualService sample-app\/backend, and \d+ s later the proxies still send \d+\.\d requests\/s to v2 of backend: istiod has not told them \(istiod-\S+ is ready; this run cannot read its log\).*istioctl proxy-status/,
  ) as string

  test('and the run fails with what to look at while users get the canary, as the stage rollback does; once it hears, they are safe', async () => {
    const bad = join(machine.home, 'bad')
    let heal: () => Promise<unknown> = () => Promise.resolve()
    const struck = when('at weight 50', async () => {
      heal = await cutOff()
      writeFileSync(bad, '')
    })
    try {
      const { outputs, report } = await act(
        { progressDeadline: '20s', checks: { commands: { ok: { run: ['test', '!', '-e', bad], every: '1s' } } } },
        { options: struck },
      )
      expect(outputs).toMatchObject({ verdict: 'rolled-back', weight: '0', reason: serving })
      expect(report?.error).toEqual(serving)
      expect(await liveWeights(world)).toEqual(allAtV1)
      expect((await act({ progressDeadline: '10s' }, { stages: 'rollback' })).report?.error).toEqual(serving)
    } finally {
      await heal()
    }
    const { code, log } = await act({ progressDeadline: '60s' }, { stages: 'rollback' })
    expect(code, log).toBe(0)
    expect(log).toContain('the canary is drained')
  })
})

test('no secret is in what is kept in the cluster, in the report or in the log', async () => {
  const secret = 'xoxb-4711-very-secret-token'
  let kept = ''
  const webhooks = { chat: { type: 'rollout', url: `http://127.0.0.1:1/hook/${secret}?key=${secret}`, failures: 3 } }
  const { report, log, summary } = await act(
    { webhooks },
    { options: when('at weight 10', async () => (kept = await kubectl('get', 'lease,configmap,job', '-o', 'json'))) },
  )
  expect(kept).toContain('mesh-canary.io/state')
  for (const text of [kept, JSON.stringify(report), summary, log.replaceAll(/^::add-mask::.*$/gm, '')])
    expect(text).not.toContain(secret)
})
