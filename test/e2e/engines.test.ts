// Rollouts that the real controllers of Argo Rollouts and Flagger run, followed and judged by the action, with users who call
// all the time.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toObjects } from '../../src/engines/convert/back.ts'
import { toMeshYaml } from '../../src/engines/convert/convert.ts'
import { caller, deployment, openArcade, service, shop, type Arcade } from './arcade.ts'
import { startEngines } from './engines.ts'
import { runner, type RunnerOptions } from './runner.ts'
import { accountKubeconfig, applyRights, sampleImage, sampleImages } from './world.ts'

const namespace = 'arcade'
let arcade: Arcade
let stopEngines: () => Promise<void>
let machine: ReturnType<typeof runner>
let kubeconfig: string

/** Subsets and a route, between whose destinations Argo Rollouts moves the weights. */
const routing = (app: string) => [
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: app, namespace },
    spec: { host: app, subsets: ['stable', 'canary'].map((name) => ({ name, labels: { app } })) },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: app, namespace },
    spec: {
      hosts: [app],
      http: [
        {
          name: 'primary',
          route: [
            { destination: { host: app, subset: 'stable' }, weight: 100 },
            { destination: { host: app, subset: 'canary' }, weight: 0 },
          ],
        },
      ],
    },
  },
]

/** A shop as a Rollout, with its routes. `more`: of the strategy. */
function rollout(app: string, steps: object[], more: object = {}) {
  const { spec, metadata } = shop(app, {})
  const object = {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Rollout',
    metadata,
    spec: {
      ...spec,
      progressDeadlineSeconds: 60,
      strategy: {
        canary: {
          trafficRouting: {
            istio: {
              virtualService: { name: app, routes: ['primary'] },
              destinationRule: { name: app, stableSubsetName: 'stable', canarySubsetName: 'canary' },
            },
          },
          abortScaleDownDelaySeconds: 5,
          scaleDownDelaySeconds: 5,
          steps,
          ...more,
        },
      },
    },
  }
  return [service(app), ...routing(app), object]
}

/** A shop whose Rollout takes the pods from a Deployment, and has a Service for each version. */
function rolloutOfDeployment(app: string, steps: object[]) {
  const [stable, canary] = [`${app}-stable`, `${app}-canary`]
  const route = [
    { destination: { host: stable }, weight: 100 },
    { destination: { host: canary }, weight: 0 },
  ]
  const deployed = shop(app, {})
  return [
    ...[app, stable, canary].map((name) => ({ ...service(app), metadata: { name, namespace } })),
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: app, namespace },
      spec: { hosts: [app], http: [{ name: 'primary', route }] },
    },
    { ...deployed, spec: { ...deployed.spec, replicas: 0 } },
    {
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: app, namespace },
      spec: {
        replicas: 1,
        workloadRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: app },
        strategy: {
          canary: {
            stableService: stable,
            canaryService: canary,
            trafficRouting: { istio: { virtualService: { name: app } } },
            scaleDownDelaySeconds: 5,
            steps,
          },
        },
      },
    },
  ]
}

/** A shop as a Deployment with a Canary of Flagger, which makes its Services and routes, and asks the gate in every interval. */
function canary(app: string) {
  const hook = (name: string, type: string) => ({
    name,
    type,
    url: `http://gate.${namespace}:3001/${app}-${name}`,
    timeout: '5s',
  })
  const object = {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'Canary',
    metadata: { name: app, namespace },
    spec: {
      provider: 'istio',
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: app },
      progressDeadlineSeconds: 60,
      service: { port: 3001 },
      analysis: {
        interval: '10s',
        threshold: 2,
        stepWeight: 20,
        maxWeight: 40,
        webhooks: [hook('checks', 'rollout'), hook('approval', 'confirm-promotion')],
      },
    },
  }
  return [shop(app, {}), object]
}

/**
 * `/NAME` answers with the status that `/NAME/set/STATUS` has set, at first 200; `/NAME/get` answers 200 and says which
 * that is.
 */
const gate = [
  service('gate'),
  deployment(
    'gate',
    { app: 'gate' },
    {},
    sampleImage,
    `
    const statuses = {}
    require('node:http').createServer((request, response) => {
      const [, name, verb, status] = request.url.split('/')
      if (verb === 'set') statuses[name] = Number(status)
      const found = statuses[name] ?? 200
      response.writeHead(verb ? 200 : found, { 'content-type': 'application/json' }).end(JSON.stringify({ status: found }))
    }).listen(3001)
    process.on('SIGTERM', () => process.exit())`,
  ),
]

/** What the gate answers to this name from now on. */
const answer = (name: string, status: number) =>
  arcade.kubectl(
    ...['exec', 'deploy/gate', '-c', 'app', '--', 'node', '-e'],
    `fetch('http://localhost:3001/${name}/set/${status}').then(({ ok }) => process.exit(ok ? 0 : 1))`,
  )

/** Argo Rollouts asks the gate every two seconds while the canary has traffic. */
const analysis = {
  apiVersion: 'argoproj.io/v1alpha1',
  kind: 'AnalysisTemplate',
  metadata: { name: 'gate', namespace },
  spec: {
    metrics: [
      {
        name: 'gate',
        interval: '2s',
        successCondition: 'result == 200',
        provider: { web: { url: `http://gate.${namespace}:3001/noodles/get`, jsonPath: '{$.status}' } },
      },
    ],
  },
}
const asksGate = { analysis: { templates: [{ templateName: 'gate' }], startingStep: 1 } }

/** Long enough for the evidence. */
const pauses = [{ setWeight: 50 }, { pause: { duration: '15s' } }]
const approvals = [{ setWeight: 20 }, { pause: {} }]

beforeAll(async () => {
  arcade = await openArcade(...gate, ...['pizza', 'noodles', 'soup'].map(caller))
  machine = runner(arcade.testCluster.runner)
  await applyRights(arcade.testCluster, machine.home, namespace, ['engines.yaml'])
  // Another account than that of deliver.yaml, which has more rights.
  kubeconfig = await accountKubeconfig(arcade.testCluster, machine.home, namespace, 'mesh-canary-engines')
  stopEngines = await startEngines(arcade.testCluster, machine.home)
  await arcade.apply(
    analysis,
    ...canary('soup'),
    ...rolloutOfDeployment('pizza', pauses),
    ...rollout('noodles', approvals, asksGate),
  )
  for (const app of ['pizza', 'noodles', 'soup']) await arcade.answered(app)
})
afterAll(async () => {
  await stopEngines()
  machine.remove()
  await arcade.close()
})

/** Runs the action on a shop with only the rights of deploy/rbac/engines.yaml; with `main`, without its post step. */
function follow(app: string, engine: string, plan: string, options: RunnerOptions = {}) {
  const file = join(machine.home, `${app}.yaml`)
  writeFileSync(
    file,
    `namespace: ${namespace}
canary: { service: ${app}, engine: ${engine}, ${plan} progressDeadline: 30s, warmup: 0, checks: { tolerance: 10 } }
`,
  )
  const { metrics = '' } = arcade.testCluster.inputs
  return machine.run({ kubeconfig, metrics, config: file, stages: 'promote' }, options)
}

/** Sends the run this signal once the canary serves. */
function signalOnTraffic(signal: NodeJS.Signals): RunnerOptions {
  let kill: ((signal: NodeJS.Signals) => void) | undefined
  return {
    onStart: (_, killProcess) => (kill = killProcess),
    onLine(line) {
      if (!/at weight [1-9].*canary [1-9]/.test(line)) return
      kill?.(signal)
      kill = undefined
    },
  }
}

const image = (name: keyof typeof sampleImages) => `image: "${sampleImages[name]}",`

describe('Argo Rollouts', () => {
  const podHash = (app: string, field: string) =>
    arcade.kubectl('get', 'rollout', app, '-o', `jsonpath={.status.${field}}`)
  const run = (app: string, plan: string, options: RunnerOptions = {}) => follow(app, 'argo-rollouts', plan, options)

  /** Whoever has ended the run, Argo Rollouts has aborted, and stable serves. */
  async function expectAborted(app: string, stable: string): Promise<void> {
    expect(await podHash(app, 'abort')).toBe('true')
    expect(await podHash(app, 'stableRS')).toBe(stable)
    expect(await arcade.weights(app)).toBe('100 0')
  }

  test('promotes an image, and the run says what its own checks saw', async () => {
    const before = await arcade.calls('pizza')
    const { code, log, outputs } = await run('pizza', image('next'))
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '100', changed: '1' })
    expect(await podHash('pizza', 'stableRS')).toBe(await podHash('pizza', 'currentPodHash'))
    expect(outputs['reason']).toContain(await podHash('pizza', 'stableRS'))
    await arcade.expectNoFailure('pizza', before)
  })

  test('has nothing to do for a second run', async () => {
    const { code, log, outputs } = await run('pizza', image('next'))
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'skipped', changed: '0' })
    expect(log).toContain('has promoted its revision')
  })

  test('is told to abort as soon as the evidence condemns the canary', async () => {
    const stable = await podHash('noodles', 'stableRS')
    const { code, log, outputs } = await run('noodles', image('failing'))
    expect(code, log).toBe(1)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(Number(outputs['time-to-detect'])).toBeGreaterThan(0)
    await expectAborted('noodles', stable)
  })

  test('refuses to go on with a rollout that has failed', async () => {
    const { code, log } = await run('noodles', '')
    expect(code, log).toBe(1)
    expect(log).toMatch(/canary\.engine: the rollout of the Rollout arcade\/noodles has failed already/)
  })

  test('rolls back by its own analysis, and the run gives its reason', async () => {
    const stable = await podHash('noodles', 'stableRS')
    await answer('noodles', 500)
    const { code, log, outputs } = await run('noodles', image('next'))
    await answer('noodles', 200)
    expect(code, log).toBe(1)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(outputs['reason']).toMatch(/Argo Rollouts has rolled the canary back: .*gate/)
    await expectAborted('noodles', stable)
  })

  test.each([
    ['SIGINT', 'a cancelled run'],
    ['SIGKILL', 'the post step of a run that was killed'],
  ] as const)('aborts after %s: %s', async (...[signal]) => {
    const stable = await podHash('noodles', 'stableRS')
    // Argo Rollouts begins only with another image than that which was aborted.
    const variant = signal === 'SIGINT' ? 'failing' : 'next'
    const { code, post } = await run('noodles', image(variant), signalOnTraffic(signal))
    expect(code).not.toBe(0)
    expect(post.code, post.log).toBe(0)
    await expectAborted('noodles', stable)
  })

  test('waits for approval, which a later job gives', async () => {
    // Somebody returns to the stable version, after which the same image may come again.
    const operations = [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: sampleImage }]
    await arcade.kubectl('patch', 'rollout', 'noodles', '--type=json', `--patch=${JSON.stringify(operations)}`)
    await arcade.kubectl('wait', 'rollout/noodles', '--for=jsonpath={.status.phase}=Healthy', '--timeout=60s')
    const held = await run('noodles', image('next'))
    expect(held.code, held.log).toBe(0)
    expect(held.outputs).toMatchObject({ verdict: 'held', weight: '20' })
    expect(held.outputs['reason']).toContain('waits for approval')
    const { code, log, outputs } = await follow('noodles', '{ type: argo-rollouts, resume: true }', image('next'))
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '100' })
  })

  test('keeps its service from a promotion of this program', async () => {
    const file = join(machine.home, 'builtin.yaml')
    writeFileSync(
      file,
      `namespace: ${namespace}\ncanary: { service: pizza, stable: { service: pizza-stable }, canary: { service: pizza-canary } }\n`,
    )
    const deliverer = await accountKubeconfig(arcade.testCluster, machine.home, namespace, 'mesh-canary')
    const { code, log } = await machine.main({ kubeconfig: deliverer, config: file, stages: 'promote' })
    expect(code, log).toBe(1)
    expect(log).toMatch(/Argo Rollouts moves the traffic of pizza \(Rollout arcade\/pizza\)/)
  })
})

describe('Flagger', () => {
  const status = (field: string) => arcade.kubectl('get', 'canary', 'soup', '-o', `jsonpath={.status.${field}}`)
  const run = (plan: string, options: RunnerOptions = {}) => follow('soup', 'flagger', plan, options)

  test('is told to fail the canary as soon as the evidence condemns it', async () => {
    const promoted = await status('lastPromotedSpec')
    const { code, log, outputs } = await run(image('failing'))
    expect(code, log).toBe(1)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(await status('phase')).toBe('Failed')
    expect(await status('lastPromotedSpec')).toBe(promoted)
    expect(await arcade.weights('soup')).toBe('100 0')
  })

  test('rolls back by its own analysis, and the run gives its reason', async () => {
    await answer('soup-checks', 500)
    const { code, log, outputs } = await run(image('next'))
    await answer('soup-checks', 200)
    expect(code, log).toBe(1)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(log).toMatch(/Flagger says: Halt soup\.arcade advancement external check checks failed/)
    expect(outputs['reason']).toMatch(/Flagger has rolled the canary back/)
  })

  test('is told to fail the canary of a run that was cancelled', async () => {
    const { code, post } = await run(image('failing'), signalOnTraffic('SIGINT'))
    expect(code).not.toBe(0)
    expect(post.code, post.log).toBe(0)
    expect(await status('phase')).toBe('Failed')
    expect(await arcade.weights('soup')).toBe('100 0')
  })

  test('waits for approval, and a later job follows to the promotion', async () => {
    const before = await arcade.calls('soup')
    await answer('soup-approval', 403)
    const held = await run(image('next'))
    expect(held.code, held.log).toBe(0)
    expect(held.outputs).toMatchObject({ verdict: 'held', weight: '40' })
    await answer('soup-approval', 200)
    // Flagger may promote before this job has seen enough.
    const { code, log, outputs } = await run(`${image('next')} onInconclusive: promote,`)
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '100' })
    expect(await status('lastPromotedSpec')).toBe(await status('lastAppliedSpec'))
    await arcade.expectNoFailure('soup', before)
    const again = await run(image('next'))
    expect(again.outputs, again.log).toMatchObject({ verdict: 'skipped' })
  })
})

describe('objects from the config', () => {
  let deliverer: string
  beforeAll(async () => {
    await applyRights(arcade.testCluster, machine.home, namespace, ['deliver.yaml', 'engine-objects.yaml'])
    deliverer = await accountKubeconfig(arcade.testCluster, machine.home, namespace, 'mesh-canary')
    // The shops before need their place on a small node no more.
    await arcade.kubectl('delete', 'rollouts,canaries', '--all')
    await arcade.kubectl('delete', 'deploy', ...['pizza', 'noodles', 'soup'].map((app) => `${app}-caller`))
    await arcade.apply(...['tea', 'rice'].flatMap((app) => [service(app), shop(app, {}), caller(app)]))
    for (const app of ['tea', 'rice']) {
      for (const name of [app, `${app}-caller`])
        await arcade.kubectl('rollout', 'status', `deploy/${name}`, '--timeout=120s')
      await arcade.answered(app)
    }
  })

  /** Runs these stages with this config of one shop, under one owner. */
  function deliver(app: string, config: string, stages: string) {
    const file = join(machine.home, `${app}-generated.yaml`)
    writeFileSync(file, `name: ${app}\nnamespace: ${namespace}\n${config}`)
    const { metrics = '' } = arcade.testCluster.inputs
    // The input belongs to the section canary.
    const inputs = config.includes('canary:') ? { metrics } : {}
    return machine.main({ kubeconfig: deliverer, ...inputs, config: file, stages })
  }
  const generated = (app: string, engine: string, plan: string) =>
    `services: { ${app}: { port: 3001, timeout: 5s } }
canary: { service: ${app}, engine: { type: ${engine}, generate: true }, ${plan} progressDeadline: 60s, warmup: 0, checks: { tolerance: 10 } }
`
  const owned = (app: string) =>
    arcade.kubectl(
      'get',
      'rollouts,analysistemplates,canaries,metrictemplates,virtualservices,destinationrules',
      '-o',
      'name',
      '-l',
      'app.kubernetes.io/managed-by=mesh-canary',
      '--field-selector',
      `metadata.name=${app}`,
    )

  /** The second plan has nothing to do. */
  async function expectUnchanged(app: string, config: string): Promise<void> {
    const { code, log, outputs } = await deliver(app, config, 'plan')
    expect(code, log).toBe(0)
    expect(outputs['changed'], log).toBe('0')
  }

  test('take the Deployment over to Argo Rollouts, promote, and give it back', async () => {
    const config = generated('tea', 'argo-rollouts', 'steps: [50, 100], interval: 4s, onInconclusive: promote,')
    const before = await arcade.calls('tea')
    const created = await deliver('tea', config, 'policies')
    expect(created.code, created.log).toBe(0)
    expect(created.log).toMatch(/Rollout tea: create/)
    await arcade.kubectl('wait', 'rollout/tea', '--for=jsonpath={.status.phase}=Healthy', '--timeout=120s')
    await expectUnchanged('tea', config)

    const released = await deliver(
      'tea',
      config.replace('warmup: 0', `${image('next')} warmup: 0`),
      'policies, promote',
    )
    expect(released.code, released.log).toBe(0)
    expect(released.outputs).toMatchObject({ verdict: 'promoted', 'engine-verdict': 'promoted', changed: '1' })
    await expectUnchanged('tea', config)

    const removed = await deliver('tea', 'services: {}\n', 'policies')
    expect(removed.code, removed.log).toBe(0)
    expect(await owned('tea')).toBe('')
    expect(await arcade.kubectl('get', 'deploy', 'tea', '-o', 'jsonpath={.status.readyReplicas}')).toBe('1')
    await arcade.expectNoFailure('tea', before)
  })

  test('take the Deployment over to Flagger, and give it back', async () => {
    const config = generated('rice', 'flagger', 'steps: [50, 100], interval: 10s,')
    const before = await arcade.calls('rice')
    const created = await deliver('rice', config, 'policies')
    expect(created.code, created.log).toBe(0)
    await arcade.kubectl('wait', 'canary/rice', '--for=jsonpath={.status.phase}=Initialized', '--timeout=120s')
    await arcade.expectNoFailure('rice', before)
    await expectUnchanged('rice', config)

    const removed = await deliver('rice', 'services: {}\n', 'policies')
    expect(removed.code, removed.log).toBe(0)
    expect(await owned('rice')).toBe('')
    expect(await arcade.kubectl('get', 'service', 'rice', '-o', 'jsonpath={.spec.selector.app}')).toBe('rice')
    expect(await arcade.kubectl('get', 'deploy', 'rice', '-o', 'jsonpath={.status.readyReplicas}')).toBe('1')
    await arcade.answered('rice')
  })
})

describe('what convert writes is accepted by the API server with the real CRDs', () => {
  const files = resolve(import.meta.dirname, '../unit/engines/convert/files')
  /** The objects of ours are for another namespace, which need not exist. */
  const accept = async (name: string, text: string) => {
    const file = join(machine.home, name)
    const documents = text
      .split(/^---$/m)
      .filter((document) => /^kind: (Canary|MetricTemplate|Rollout|AnalysisTemplate)$/m.test(document))
    writeFileSync(
      file,
      documents.map((each) => each.replace(/^  namespace: .*$/m, `  namespace: ${namespace}`)).join('---\n'),
    )
    await arcade.kubectl('apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', file)
    return documents.length
  }

  test.each(['flagger', 'argo-rollouts'] as const)('%s', async (engine) => {
    let accepted = 0
    for (const name of readdirSync(join(files, engine))) {
      const { text } = toMeshYaml([{ name, text: readFileSync(join(files, engine, name), 'utf8') }])
      accepted += await accept(name, toObjects({ name: 'mesh.yaml', text }, engine).text)
    }
    expect(accepted).toBeGreaterThanOrEqual(10)
  })
})
