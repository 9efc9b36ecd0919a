// Experiments on the real mesh: users call the front, which calls the shop. Every kind of fault, with the verdict that it
// must have, and runs that end in the middle. All experiments have only the rights of deploy/rbac/experiment.yaml.
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { deployment, openArcade, service, type Arcade } from './arcade.ts'
import { startChaosMesh } from './chaos-mesh.ts'
import { runner, type ActionRun, type RunnerOptions } from './runner.ts'
import { accountKubeconfig, applyRights, metricNames, sampleImage } from './world.ts'

const namespace = 'arcade'
let arcade: Arcade
let machine: ReturnType<typeof runner>
let experimenter: string

/** Answers 502 if the shop does not answer well. */
const front = `
  require('node:http').createServer(async (_, response) => {
    const answer = await fetch('http://shop:3001/').catch(() => undefined)
    response.writeHead(answer?.ok ? 200 : 502).end()
  }).listen(3001)
  process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`
const shop = `
  require('node:http').createServer((_, response) => response.end('ok')).listen(3001)
  process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`
/** Fifteen users at a time, thirty requests a second. */
const users = `
  const http = require('node:http')
  const agent = new http.Agent({ keepAlive: true })
  const ask = () => http.get('http://front:3001/', { agent }, (answer) => answer.resume()).on('error', () => {})
  setInterval(() => { for (let i = 0; i < 15; i++) ask() }, 500)
  process.on('SIGTERM', () => process.exit())`

/** The pods' sidecars publish Envoy's own counters. */
function workload(name: string, labels: object, program: string): ReturnType<typeof deployment> {
  const made = deployment(name, labels, {}, sampleImage, program)
  const { metadata } = made.spec.template
  Object.assign(metadata.annotations, { 'sidecar.istio.io/statsInclusionPrefixes': 'cluster.outbound' })
  return made
}

beforeAll(async () => {
  arcade = await openArcade(
    service('shop'),
    service('front'),
    workload('shop', { app: 'shop', pool: 'a' }, shop),
    workload('shop-b', { app: 'shop', pool: 'b' }, shop),
    workload('front', { app: 'front' }, front),
    workload('users', { app: 'users' }, users),
  )
  machine = runner(arcade.testCluster.runner)
  await applyRights(arcade.testCluster, machine.home, namespace, ['experiment.yaml'])
  experimenter = await accountKubeconfig(arcade.testCluster, machine.home, namespace, 'mesh-canary-experiment')
  await allow('=allowed')
})
beforeEach(() => soon(async () => expect(await traces()).toBe('')))
afterAll(async () => {
  await arcade.close()
  machine.remove()
})

/** A guard waits for its Lease, and Kubernetes takes its time to delete what belonged to it. */
const soon = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 250 })

/** What an experiment leaves while it runs: Leases, guards and objects of the fault. */
async function traces(): Promise<string> {
  const kinds = 'leases,jobs,virtualservices,destinationrules,authorizationpolicies'
  const objects = JSON.parse(await arcade.kubectl('get', kinds, '-o', 'json')) as { items: object[] }
  const isTrace = (text: string) =>
    /mesh-canary-(front|shop)|mesh-canary-fault|mesh-canary-experiment|mesh-canary.io.experiment/.test(text)
  return objects.items
    .map((each) => JSON.stringify(each))
    .filter(isTrace)
    .join('\n')
}

/** Sets the label that allows experiments in the namespace; with `-` it removes it. */
const allow = (value: '=allowed' | '-') =>
  arcade.testCluster.run(['kubectl', 'label', 'namespace', namespace, `mesh-canary.io/experiments${value}`])

/** Kills the only pod of the front. */
const podChaos = {
  apiVersion: 'chaos-mesh.org/v1alpha1',
  kind: 'PodChaos',
  metadata: { name: 'front' },
  spec: { action: 'pod-kill', mode: 'one', selector: { labelSelectors: { app: 'front' } } },
}

/** Gives the services these policies. */
async function policies(services: object): Promise<void> {
  const config = machine.file('policies.json', JSON.stringify({ name: 'arcade', namespace, services }))
  const { code, log } = await machine.main({ config, stages: 'policies' })
  expect(code, log).toBe(0)
}

const patient = { expect: { successRate: '90%' }, stopBelow: '2%' }

function experiment(
  settings: object,
  options: RunnerOptions = {},
  step: 'run' | 'main' = 'run',
): Promise<ActionRun & { post?: ActionRun }> {
  const config = machine.file(
    'experiments.json',
    JSON.stringify({
      namespace,
      experiments: {
        trial: {
          service: 'front',
          steadyState: '3s',
          duration: '6s',
          recoverWithin: '60s',
          minRequests: 20,
          guard: '20s',
          metrics: metricNames,
          ...patient,
          ...settings,
        },
      },
    }),
  )
  return machine[step]({ config, kubeconfig: experimenter, stages: 'experiment' }, options)
}

const verdict = ({ outputs }: ActionRun) => outputs['experiment-verdict']
const trial = ({ report }: ActionRun) => report!.experiments![0]!

describe('calls to the shop that fail', () => {
  const abort = { inject: { abort: { service: 'shop', status: 503, percent: '40%' } } }

  test('do not hurt the users of a front that is retried, and the counters say so', async () => {
    await policies({ front: { retries: { attempts: 5, retryOn: ['5xx'] } }, shop: { retries: { attempts: 0 } } })
    const before = await arcade.kubectl(
      'get',
      'virtualservice',
      'shop',
      '-o',
      'jsonpath={.spec}{.metadata.annotations}',
    )
    const run = await experiment({ ...abort, expect: { successRate: '90%', retries: 'some', retrySuccesses: 'some' } })
    expect(verdict(run), run.log).toBe('resilient')
    expect(run.code).toBe(0)
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(trial(run).mesh.retrySuccesses.count).toBeGreaterThan(0)
    expect(trial(run).faulted.faulted).toBeGreaterThan(0)
    expect(run.log).toMatch(/trial: the sidecars retried \d+ times/)
    expect(await arcade.kubectl('get', 'virtualservice', 'shop', '-o', 'jsonpath={.spec}{.metadata.annotations}')).toBe(
      before,
    )
  })

  test('hurt the users of a front that is not', async () => {
    await policies({ front: { retries: { attempts: 0 } } })
    const run = await experiment(abort)
    expect(verdict(run), run.log).toBe('fragile')
    expect(run.code).toBe(1)
    expect(trial(run).advice.join()).toContain('services.front.retries')
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(run.summary).toContain('Experiment trial: abort')
  })
})

describe('calls to the shop that are slow', () => {
  const slow = {
    inject: { delay: { service: 'shop', time: '4s', percent: '10%' } },
    duration: '8s',
    expect: { successRate: '90%', p99: '2500ms', tolerance: 10 },
  }

  test('are cut short and repeated by a front with a time limit for each try', async () => {
    await policies({ front: { retries: { attempts: 4, perTryTimeout: '700ms', retryOn: ['5xx', 'reset'] } } })
    const run = await experiment(slow)
    expect(verdict(run), run.log).toBe('resilient')
    expect(trial(run).mesh.timeouts.count).toBeGreaterThan(0)
  })

  test('are slow for the users of a front without one', async () => {
    await policies({ front: { retries: { attempts: 0 } } })
    const run = await experiment(slow)
    expect(verdict(run), run.log).toBe('fragile')
    expect(run.outputs['experiment-reason']).toContain('were too slow')
  })
})

describe('a pod that is evicted', () => {
  const kill = (name: string) => ({ service: 'front', inject: { podKill: { workload: `deploy/${name}` } } })

  test('is not missed where another one answers', async () => {
    await policies({ shop: { retries: { attempts: 3 } } })
    const run = await experiment({ ...kill('shop-b'), maxAffected: '100%' })
    expect(verdict(run), run.log).toBe('resilient')
    expect(trial(run).findings.join()).toContain('1 pod was evicted')
  })

  test('is missed where it was the only one', async () => {
    const run = await experiment({ ...kill('front'), maxAffected: '100%' })
    expect(verdict(run), run.log).toBe('fragile')
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(trial(run).advice.join()).toContain('run two or more')
  })

  test('stays if a budget protects it, and then the run knows nothing', async () => {
    await arcade.kubectl('create', 'poddisruptionbudget', 'front', '--selector=app=front', '--min-available=1')
    const run = await experiment({ ...kill('front'), maxAffected: '100%', confirmTimeout: '20s' })
    await arcade.kubectl('delete', 'poddisruptionbudget', 'front')
    expect(verdict(run), run.log).toBe('inconclusive')
    expect(run.log).toContain('a PodDisruptionBudget forbids it')
  })
})

describe('a workload that is cut off', () => {
  const cut = { service: 'shop', inject: { partition: { workload: 'deploy/shop-b' } }, maxAffected: '100%' }

  test('is avoided by callers that retry its refusals elsewhere', async () => {
    await policies({ shop: { retries: { attempts: 5, retryOn: ['403'] } } })
    const run = await experiment(cut)
    expect(verdict(run), run.log).toBe('resilient')
    expect(await arcade.kubectl('get', 'authorizationpolicies', '-o', 'name')).toBe('')
  })

  test('hurts those of callers that do not', async () => {
    await policies({ shop: { retries: { attempts: 0 } } })
    const run = await experiment(cut)
    expect(verdict(run), run.log).toBe('fragile')
  })
})

describe('a small connection pool', () => {
  test('refuses users who come at once, and is as large as before afterwards', async () => {
    await policies({
      front: { retries: { attempts: 0 }, circuitBreaker: { maxConnections: 64, consecutive5xxErrors: 1000 } },
    })
    const before = await arcade.kubectl('get', 'destinationrule', 'front', '-o', 'jsonpath={.spec}')
    const run = await experiment({ inject: { overload: {} }, expect: { successRate: '90%', overflows: 'some' } })
    expect(verdict(run), run.log).toBe('fragile')
    expect(trial(run).mesh.overflows.count).toBeGreaterThan(0)
    expect(await arcade.kubectl('get', 'destinationrule', 'front', '-o', 'jsonpath={.spec}')).toBe(before)
  })

  test('that is large enough shows nothing', async () => {
    await policies({
      front: { retries: { attempts: 0 }, circuitBreaker: { maxConnections: 500, consecutive5xxErrors: 1000 } },
    })
    const run = await experiment({
      inject: { overload: { maxConnections: 400, maxPendingRequests: 400 } },
      confirmTimeout: '20s',
    })
    expect(verdict(run), run.log).toBe('inconclusive')
    expect(run.outputs['experiment-reason']).toContain('the limit was never reached')
  })
})

describe('a pod that Chaos Mesh kills or cuts off', () => {
  const kill = (label: string) => {
    const spec = { action: 'pod-kill', mode: 'one', selector: { labelSelectors: { pool: label } } }
    return { service: 'front', maxAffected: '100%', inject: { chaosMesh: { kind: 'PodChaos', spec } } }
  }

  let stop: () => Promise<void>
  beforeAll(async () => {
    stop = await startChaosMesh(arcade.testCluster, machine.home)
  })
  afterAll(() => stop())

  test('is not missed where another one answers', async () => {
    await policies({ shop: { retries: { attempts: 3 } } })
    const run = await experiment(kill('b'))
    expect(verdict(run), run.log).toBe('resilient')
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(trial(run).findings.join()).toContain('Chaos Mesh injected its fault into 1 pod')
    expect(await arcade.kubectl('get', 'podchaos', '-o', 'name')).toBe('')
  })

  test('is missed where it was the only one', async () => {
    const file = machine.file('kill.yaml', JSON.stringify(podChaos))
    const run = await experiment({ ...kill(''), inject: { chaosMesh: { file } } })
    expect(verdict(run), run.log).toBe('fragile')
    expect(await arcade.kubectl('get', 'podchaos', '-o', 'name')).toBe('')
  })

  const cut = { action: 'partition', mode: 'all', direction: 'both', selector: { labelSelectors: { pool: 'b' } } }
  const cutOff = { service: 'shop', maxAffected: '100%', inject: { chaosMesh: { kind: 'NetworkChaos', spec: cut } } }

  test('is avoided by callers that soon try elsewhere', async () => {
    await policies({ shop: { retries: { attempts: 3, perTryTimeout: '1s', retryOn: ['5xx'] } } })
    const run = await experiment(cutOff)
    expect(verdict(run), run.log).toBe('resilient')
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(trial(run).mesh.timeouts.count).toBeGreaterThan(0)
  })

  test('hurts those that wait for it', async () => {
    await policies({ shop: { timeout: '1s', retries: { attempts: 0 } } })
    const run = await experiment(cutOff)
    expect(verdict(run), run.log).toBe('fragile')
    expect(trial(run)).toMatchObject({ recovery: 'confirmed' })
    expect(trial(run).mesh.timeouts.count).toBeGreaterThan(0)
    expect(await arcade.kubectl('get', 'networkchaos', '-o', 'name')).toBe('')
  })
})

describe('a run that ends in the middle', () => {
  const long = { inject: { abort: { service: 'shop', status: 503, percent: '40%' } }, duration: '10m' }

  /** Calls `work` once, when the fault acts. */
  function whenActing(work: (kill: (signal: NodeJS.Signals) => void) => unknown): RunnerOptions {
    let kill: (signal: NodeJS.Signals) => void = () => undefined
    let isDone = false
    return {
      onStart: (_, how) => (kill = how),
      onLine: (line) => {
        if (isDone || !line.includes('the fault acts')) return
        isDone = true
        void work(kill)
      },
    }
  }

  test('without a post step is cleaned up by the guard, which says so', async () => {
    const { log } = await experiment(
      { ...long, guard: '15s' },
      whenActing((kill) => kill('SIGKILL')),
      'main',
    )
    expect(log).toContain('the fault acts')
    expect(await traces()).toContain('mesh-canary-fault')
    await soon(async () => expect(await traces()).toBe(''))
    const events = await arcade.kubectl('get', 'events', '--field-selector=reason=ExperimentRecovered', '-o', 'json')
    expect(events).toContain('did not renew its Lease for 15 s')
  })

  test('with a post step is cleaned up at once', async () => {
    const { post } = await experiment(
      { ...long, guard: '60s' },
      whenActing((kill) => kill('SIGKILL')),
    )
    expect(post!.log).toContain(
      'the run ended in the middle of an experiment: the fault of the experiment trial was removed',
    )
    expect(await traces()).not.toContain('mesh-canary-fault')
  })

  test('by a cancellation removes the fault itself', async () => {
    const run = await experiment(
      { ...long, guard: '60s' },
      whenActing((kill) => kill('SIGINT')),
      'main',
    )
    expect(verdict(run), run.log).toBe('inconclusive')
    expect(run.log).toContain('removed the fault from VirtualService')
    expect(await traces()).not.toContain('mesh-canary-fault')
  })
})

test('a namespace that does not allow experiments is not touched', async () => {
  await allow('-')
  const refused = await experiment({ inject: { overload: {} } })
  await allow('=allowed')
  expect(refused.code).toBe(1)
  expect(refused.log).toContain(`experiments: the namespace ${namespace} does not allow them`)
})
