// Releases of an image and of manifests on the real mesh, one Deployment behind each Service, with users who call all the
// time: labels that tell the versions apart or none, a changed ConfigMap, a commit, runs that die, and an image that does not exist.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './echo.ts'
import { runner, type RunnerOptions } from './runner.ts'
import {
  applyObjects,
  delivererKubeconfig,
  embeddedMesh,
  sampleImage,
  sampleImages,
  type TestCluster,
} from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
/** All releases have only the rights of deploy/rbac/deliver.yaml. */
let kubeconfig: string

const shops = {
  bakery: { version: 'v1' },
  dairy: { commit: '4f1c9a2' },
  grocer: {},
}

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const { mirror = '', overlays = '' } = testCluster.inputs
  const installed = await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'minimal' })
  expect(installed.code, installed.log).toBe(0)
  await testCluster.run(['kubectl', 'delete', 'namespace', 'arcade', '--ignore-not-found', '--wait'])
  await apply(
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'arcade', labels: { 'istio-injection': 'enabled' } },
    },
    ...Object.entries(shops).flatMap(([name, labels]) => [service(name), shop(name, labels), caller(name)]),
    config('dairy', 'butter'),
    wallAround('grocer'),
  )
  for (const name of Object.keys(shops)) {
    await ready(name)
    await ready(`${name}-caller`)
  }
  kubeconfig = await delivererKubeconfig(testCluster, machine.home, 'arcade')
})
afterAll(async () => {
  await testCluster.run(['kubectl', 'delete', 'namespace', 'arcade', '--wait=false'])
  machine.remove()
})

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', 'arcade', ...args])
const ready = (name: string) => kubectl('rollout', 'status', `deploy/${name}`, '--timeout=120s')
const apply = (...items: object[]) => applyObjects(testCluster, items)

const service = (app: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: app, namespace: 'arcade' },
  spec: { selector: { app }, ports: [{ name: 'http', port: 3001 }] },
})

const config = (app: string, offer: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: app, namespace: 'arcade' },
  data: { OFFER: offer },
})

/** Lets the callers in, and nobody else. */
const wallAround = (app: string) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: `wall-${app}`, namespace: 'arcade' },
  spec: { selector: { matchLabels: { app } }, rules: [{ to: [{ operation: { methods: ['GET'] } }] }] },
})

/** Answers with the version of its image, and its offer; the image says how many of the answers fail. */
const shop = (app: string, labels: object, image = sampleImage) =>
  deployment(
    app,
    { app },
    labels,
    image,
    `
    const { VERSION = 'v1', OFFER = '', FAIL_RATE = 0 } = process.env
    require('node:http').createServer((_, response) => {
      response.writeHead(Math.random() < FAIL_RATE ? 500 : 200).end(VERSION + OFFER)
    }).listen(3001)
    process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`,
    [{ configMapRef: { name: app, optional: true } }],
  )

/** Sends twenty requests a second, and logs how many it has sent, how many failed, and the last answer. */
const caller = (app: string) =>
  deployment(
    `${app}-caller`,
    { app: `${app}-caller` },
    {},
    sampleImage,
    `
    let [sent, failed, last] = [0, 0, '']
    const ask = async () => {
      const response = await fetch('http://${app}:3001/').catch(() => undefined)
      sent++
      if (response?.ok) last = await response.text()
      else failed++
    }
    setInterval(ask, 50)
    setInterval(() => console.log(sent, failed, last), 500)
    process.on('SIGTERM', () => process.exit())`,
  )

function deployment(name: string, own: object, more: object, image: string, program: string, envFrom: object[] = []) {
  const container = { name: 'app', image, imagePullPolicy: 'IfNotPresent', command: ['node', '-e', program], envFrom }
  // Two versions of each shop have to fit on a small node.
  const annotations = { 'sidecar.istio.io/proxyCPU': '5m', 'sidecar.istio.io/proxyMemory': '32Mi' }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'arcade' },
    spec: {
      selector: { matchLabels: own },
      template: { metadata: { labels: { ...own, ...more }, annotations }, spec: { containers: [container] } },
    },
  }
}

/** What the callers of a shop have counted since their pod started. */
async function calls(app: string): Promise<{ sent: number; failed: number; last: string }> {
  const log = await kubectl('logs', `deploy/${app}-caller`, '-c', 'app', '--tail', '1')
  const [sent = '', failed = '', last = ''] = log.trim().split(' ')
  return { sent: Number(sent), failed: Number(failed), last }
}

/**
 * Runs the action on a shop; with `main`, without its post step. A busy machine makes some answers slow, and these tests are
 * not about the latency.
 */
function release(app: string, plan: string, options: RunnerOptions = {}, step: 'run' | 'main' = 'run') {
  const file = join(machine.home, 'mesh.yaml')
  writeFileSync(
    file,
    `name: arcade-${app}
namespace: arcade
canary: { service: ${app}, ${plan}, guard: 5s, progressDeadline: 30s, interval: 3s, steps: [50, 100], warmup: 0, checks: { tolerance: 10 } }
`,
  )
  return machine[step](
    { kubeconfig, metrics: testCluster.inputs['metrics'] ?? '', config: file, stages: 'policies, promote' },
    options,
  )
}

/** The images of the Deployments of a shop, by name. */
async function images(app: string): Promise<Record<string, string>> {
  const { items } = JSON.parse(await kubectl('get', 'deployments', '-o', 'json')) as {
    items: { metadata: { name: string }; spec: { template: { spec: { containers: { image: string }[] } } } }[]
  }
  const found = items.filter(({ metadata: { name } }) => name === app || name === `${app}-canary`)
  return Object.fromEntries(found.map(({ metadata, spec }) => [metadata.name, spec.template.spec.containers[0]!.image]))
}

async function weights(app: string): Promise<string> {
  return kubectl('get', 'virtualservice', app, '-o', 'jsonpath={.spec.http[0].route[*].weight}')
}

/** Every label by which the subset of stable selects pods now. */
const stableLabels = (app: string) =>
  kubectl('get', 'destinationrule', app, '-o', 'jsonpath={.spec.subsets[?(@.name=="stable")].labels}')

describe('an image', () => {
  test('is promoted, given to the Deployment, and its canary is gone; users notice nothing', async () => {
    const before = await calls('bakery')
    const { code, log, outputs } = await release('bakery', `image: "${sampleImages.next}"`)
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0' })
    expect(await images('bakery')).toEqual({ bakery: sampleImages.next })
    expect(await stableLabels('bakery')).toBe('{}')
    await eventually(async () => expect((await calls('bakery')).last).toBe('v2'))
    expect((await calls('bakery')).failed).toBe(before.failed)
  })

  test('that runs already leaves everything as it is', async () => {
    const { code, log, outputs } = await release('bakery', `image: "${sampleImages.next}"`)
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'skipped', changed: '0' })
    expect(outputs['reason']).toContain('Deployment/bakery runs this release already')
  })

  test('that fails is rolled back, and its canary, which was as protected as stable, is gone', async () => {
    let copies: Promise<string> | undefined
    const { code, log, outputs } = await release('grocer', `image: "${sampleImages.failing}"`, {
      onLine: (line) => {
        if (line.includes('weight: grocer 50'))
          copies ??= kubectl('get', 'authorizationpolicies', '-o', 'jsonpath={.items[*].spec.selector.matchLabels.app}')
      },
    })
    expect(code).toBe(1)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    expect(await copies).toBe('grocer grocer-canary')
    expect(await images('grocer')).toEqual({ grocer: sampleImage })
    await eventually(async () =>
      expect(await kubectl('get', 'authorizationpolicies', '-o', 'name')).not.toContain('canary'),
    )
  })

  test('is promoted for pods without a label of their own as well', async () => {
    const before = await calls('grocer')
    const pod = await kubectl('get', 'pods', '-l', 'app=grocer', '-o', 'name')
    let podDuring: Promise<string> | undefined
    const { code, log, outputs } = await release('grocer', `image: "${sampleImages.next}"`, {
      onLine: (line) => {
        if (line.includes('weight: grocer 50')) podDuring ??= kubectl('get', 'pods', '-l', 'app=grocer', '-o', 'name')
      },
    })
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted' })
    expect(await podDuring).toBe(pod)
    expect(await images('grocer')).toEqual({ grocer: sampleImages.next })
    expect((await calls('grocer')).failed).toBe(before.failed)
  })

  test('that is new in the middle of a release starts over from the first step, after the traffic is back', async () => {
    const held = await release('bakery', `image: "${sampleImage}", until: 50`)
    expect(held.outputs, held.log).toMatchObject({ verdict: 'held', weight: '50' })
    const { log, outputs } = await release('bakery', `image: "${sampleImages.failing}"`)
    expect(outputs, log).toMatchObject({ verdict: 'rolled-back', weight: '0' })
    const lines = ['it is removed first', 'back at stable', 'bakery-canary: created', 'weight: stable 50, canary 50']
    const places = lines.map((line) => log.indexOf(line))
    expect(places, log).toEqual([...places].sort((a, b) => a - b))
    expect(places).not.toContain(-1)
    expect(await images('bakery')).toEqual({ bakery: sampleImages.next })
  })

  test('that nobody can pull ends before any weight, with the cause', async () => {
    const { code, log } = await release('bakery', 'image: "registry.invalid/bakery:9"')
    expect(code).toBe(1)
    expect(log).toMatch(/registry\.invalid\/bakery:9/)
    expect(log).not.toContain('weight: stable 50')
    expect(await weights('bakery')).toMatch(/^100( 0)?$/)
    expect(await images('bakery')).toEqual({ bakery: sampleImages.next })
  })
})

test('manifests bring a changed ConfigMap and new labels; stable keeps the old ones until all traffic is gone', async () => {
  const before = await calls('dairy')
  const file = join(machine.home, 'dairy.json')
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [shop('dairy', { commit: 'b07e551' }, sampleImages.next), config('dairy', 'cheese')],
    }),
  )
  const { code, log, outputs } = await release('dairy', `manifests: "${file}"`)
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'promoted' })
  expect(await images('dairy')).toEqual({ dairy: sampleImages.next })
  expect(await kubectl('get', 'deploy', 'dairy', '-o', 'jsonpath={.spec.template.metadata.labels.commit}')).toBe(
    'b07e551',
  )
  await eventually(async () => expect((await calls('dairy')).last).toBe('v2cheese'))
  expect((await calls('dairy')).failed).toBe(before.failed)

  const second = await release('dairy', `manifests: "${file}"`)
  expect(second.outputs, second.log).toMatchObject({ verdict: 'skipped', changed: '0' })
})

test('proportional replicas are ready before each weight, and an autoscaler leaves stable enough of its own', async () => {
  await kubectl('set', 'image', 'deploy/grocer', `app=${sampleImages.next}`)
  await kubectl('scale', 'deploy/grocer', '--replicas=2')
  await ready('grocer')
  await apply({
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'grocer', namespace: 'arcade' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'grocer' },
      minReplicas: 1,
      maxReplicas: 6,
      metrics: [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ],
    },
  })
  const before = await calls('grocer')
  const seen: Promise<string>[] = []
  const look = () =>
    kubectl('get', 'deploy', 'grocer', 'grocer-canary', '-o', 'jsonpath={.items[*].status.availableReplicas}')
  let shrunk: Promise<string> | undefined
  /** What the autoscaler would do by its metrics, which this cluster does not have. By its minimum it undoes that. */
  const shrink = async () => {
    await eventually(async () => expect((await images('grocer'))['grocer']).toBe(sampleImage))
    return kubectl('scale', 'deploy/grocer', '--replicas=1')
  }
  const { code, log, outputs } = await release('grocer', `image: "${sampleImage}", replicas: proportional`, {
    onLine: (line) => {
      if (line.startsWith('weight: grocer ')) seen.push(look())
      if (line.includes('Deployment/grocer gets the pod template')) shrunk ??= shrink()
    },
  })
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'promoted' })
  expect(log).toContain('Deployment/grocer-canary: created with 1 replica')
  const [atHalf, atAll] = await Promise.all(seen)
  // Those of the next step start at once.
  expect(atHalf).toMatch(/^2 [12]$/)
  expect(atAll).toBe('2 2')
  expect(await shrunk).toContain('scaled')
  const replicas = await kubectl(
    'get',
    'deploy',
    'grocer',
    '-o',
    'jsonpath={.spec.replicas} {.status.availableReplicas}',
  )
  expect(replicas).toBe('2 2')
  const scalers = await kubectl(
    'get',
    'hpa',
    '-o',
    'jsonpath={range .items[*]}{.metadata.name} {.spec.minReplicas}{end}',
  )
  expect(scalers).toBe('grocer 1')
  expect((await calls('grocer')).failed).toBe(before.failed)
  await kubectl('delete', 'hpa', 'grocer')
  await kubectl('scale', 'deploy/grocer', '--replicas=1')
})

describe('a release that cannot be made ends before anything is written:', () => {
  const asleep = (name: string, own: object, more: object = {}) => ({
    ...deployment(name, own, {}, sampleImage, ''),
    ...more,
    // Its pods are not needed.
    spec: { ...deployment(name, own, {}, sampleImage, '').spec, paused: true },
  })

  beforeAll(async () => {
    const uid = await kubectl('get', 'configmap', 'dairy', '-o', 'jsonpath={.metadata.uid}')
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'dairy', uid, controller: true }
    const owned = { name: 'owned', namespace: 'arcade', ownerReferences: [owner] }
    await apply(
      { ...service('hollow'), spec: { ports: [{ name: 'http', port: 3001 }] } },
      service('twins'),
      asleep('twin-a', { app: 'twins', twin: 'a' }),
      asleep('twin-b', { app: 'twins', twin: 'b' }),
      service('owned'),
      asleep('owned', { app: 'owned' }, { metadata: owned }),
      service('taken'),
      asleep('taken', { app: 'taken' }),
      asleep('taken-canary', { app: 'other' }),
    )
  })
  afterAll(() =>
    kubectl(
      'delete',
      'service,deployment',
      'hollow',
      'twins',
      'twin-a',
      'twin-b',
      'owned',
      'taken',
      'taken-canary',
      '--ignore-not-found',
    ),
  )
  const manifest = (object: object) => {
    const file = join(machine.home, 'wrong.json')
    writeFileSync(file, JSON.stringify(object))
    return `manifests: "${file}"`
  }
  const next = `image: "${sampleImages.next}"`

  test.each<[string, string, () => string, string]>([
    [
      'a container that does not exist',
      'bakery',
      () => `images: { oven: "${sampleImages.next}" }`,
      'has no container oven',
    ],
    ['a manifest of another workload', 'bakery', () => manifest(shop('dairy', {})), 'there is no Deployment bakery'],
    [
      'a manifest for another namespace',
      'bakery',
      () => manifest({ ...shop('bakery', {}), metadata: { name: 'bakery', namespace: 'elsewhere' } }),
      'is for the namespace elsewhere, and the run is for arcade',
    ],
    [
      'a manifest of a StatefulSet',
      'bakery',
      () => manifest({ ...shop('bakery', {}), kind: 'StatefulSet' }),
      'bakery is a StatefulSet here and a Deployment in the cluster',
    ],
    ['a Service without a selector', 'hollow', () => next, 'the Service arcade/hollow has no selector'],
    ['two workloads behind the Service', 'twins', () => next, 'several workloads are behind the Service arcade/twins'],
    [
      'a workload that an operator owns',
      'owned',
      () => next,
      'belongs to the ConfigMap dairy, whose operator would undo',
    ],
    ['a name that somebody else has', 'taken', () => next, 'of that name exists that mesh-canary did not create'],
  ])('%s', async (_, app, plan, message) => {
    const all = () =>
      kubectl('get', 'deploy,virtualservice,destinationrule', '-o', 'jsonpath={.items[*].metadata.generation}')
    const before = await all()
    const { code, log } = await release(app, plan())
    expect(code).toBe(1)
    expect(log).toContain(message)
    expect(await all()).toBe(before)
  })
})

describe('a Deployment that Flux owns', () => {
  const generation = async () =>
    Number(await kubectl('get', 'deploy', 'dairy', '-o', 'jsonpath={.metadata.generation}'))
  /** The controller of Flux takes long to build: kubectl does its part, with its labels and under its name. */
  const commit = (file: string) =>
    kubectl('patch', 'deploy', 'dairy', '--field-manager=kustomize-controller', '--patch-file', file)

  beforeAll(() =>
    kubectl(
      'label',
      'deploy',
      'dairy',
      'kustomize.toolkit.fluxcd.io/name=apps',
      'kustomize.toolkit.fluxcd.io/namespace=flux-system',
    ),
  )

  test('is not written; its canary keeps the traffic until a run after the commit completes the release', async () => {
    const [before, writes] = [await calls('dairy'), await generation()]
    const plan = `image: "${sampleImage}", after: gitops, commitTimeout: 1s`
    const { code, log, outputs } = await release('dairy', plan)
    expect(code, log).toBe(1)
    expect(outputs).toMatchObject({ verdict: 'held', weight: '100', image: sampleImage })
    expect(log).toContain('Deployment/dairy has not got the release from Git within 1 s')
    expect(await images('dairy')).toEqual({ dairy: sampleImages.next, 'dairy-canary': sampleImage })
    expect(await generation()).toBe(writes)

    await commit(outputs['patch']!)
    const second = await release('dairy', plan)
    expect(second.code, second.log).toBe(0)
    expect(second.outputs['reason']).toContain('all traffic is there')
    expect(await images('dairy')).toEqual({ dairy: sampleImage })
    expect(await generation()).toBe(writes + 1)
    expect((await calls('dairy')).failed).toBe(before.failed)
  })

  test('is followed by a run that waits, also with another label for its pods', async () => {
    const before = await calls('dairy')
    let committed: Promise<string> | undefined
    const { code, log, outputs } = await release('dairy', `image: "${sampleImages.next}", after: gitops`, {
      onLine: (line) => {
        const [, file] = /commit for dairy: .* as a patch: (\S+)/.exec(line) ?? []
        if (file === undefined) return
        const patch = load(readFileSync(file, 'utf8')) as { spec: { template: object } }
        Object.assign(patch.spec.template, { metadata: { labels: { commit: 'c0ffee1' } } })
        const changed = join(machine.home, 'commit.json')
        writeFileSync(changed, JSON.stringify(patch))
        committed = commit(changed)
      },
    })
    expect(code, log).toBe(0)
    expect(await committed).toContain('patched')
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0', image: sampleImages.next })
    expect(await images('dairy')).toEqual({ dairy: sampleImages.next })
    expect(await stableLabels('dairy')).toBe('{}')
    expect((await calls('dairy')).failed).toBe(before.failed)
  })
})

describe('a run that dies', () => {
  /** Kills the run at the first line with this text, without its post step. */
  async function killAt(text: string, image: string): Promise<void> {
    let kill: (() => void) | undefined
    const options: RunnerOptions = {
      onStart: (_, send) => (kill = () => send('SIGKILL')),
      onLine: (line) => line.includes(text) && kill?.(),
    }
    const { log } = await release('bakery', `image: "${image}"`, options, 'main')
    expect(log).toContain(text)
  }

  test.each([
    ['when the canary was just created', 'Deployment/bakery-canary: created'],
    ['with half of the traffic on it', 'weight: stable 50, canary 50'],
    ['when stable gets the release', 'Deployment/bakery gets the pod template'],
    ['when the traffic is moved back', 'all traffic is at Deployment/bakery'],
    ['when the canary is removed', 'Deployment/bakery-canary is removed'],
  ])('%s is followed by one that completes the release, and leaves nothing', async (_, text) => {
    const before = await calls('bakery')
    const image = (await images('bakery'))['bakery'] === sampleImage ? sampleImages.next : sampleImage
    await killAt(text, image)
    const { code, log, outputs } = await release('bakery', `image: "${image}", leaseWaitTimeout: 30s`)
    expect(code, log).toBe(0)
    expect(['promoted', 'skipped'], log).toContain(outputs['verdict'])
    expect(await images('bakery')).toEqual({ bakery: image })
    expect(await weights('bakery')).toMatch(/^100( 0)?$/)
    expect(await stableLabels('bakery')).toBe('{}')
    expect((await calls('bakery')).failed).toBe(before.failed)
  })
})
