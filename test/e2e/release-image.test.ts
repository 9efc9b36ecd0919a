// Releases of an image and of manifests on the real mesh, one Deployment behind each Service, with users who call all the
// time: labels that tell the versions apart or none, a changed ConfigMap, runs that die, and an image that does not exist.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './echo.ts'
import type { RunnerOptions } from './runner.ts'
import { caller, deployment, openArcade, service, shop, type Arcade } from './arcade.ts'
import { sampleImage, sampleImages } from './world.ts'

let arcade: Arcade

const labelsOf = {
  bakery: { version: 'v1' },
  dairy: { commit: '4f1c9a2' },
  grocer: {},
}

beforeAll(async () => {
  arcade = await openArcade(
    ...Object.entries(labelsOf).flatMap(([name, labels]) => [service(name), shop(name, labels), caller(name)]),
    config('dairy', 'butter'),
    wallAround('grocer'),
  )
})
afterAll(() => arcade.close())

const kubectl: Arcade['kubectl'] = (...args) => arcade.kubectl(...args)
const ready: Arcade['ready'] = (name) => arcade.ready(name)
const apply: Arcade['apply'] = (...items) => arcade.apply(...items)
const calls: Arcade['calls'] = (app) => arcade.calls(app)
const release: Arcade['release'] = (...args) => arcade.release(...args)
const images: Arcade['images'] = (app) => arcade.images(app)
const weights: Arcade['weights'] = (app) => arcade.weights(app)
const stableLabels: Arcade['stableLabels'] = (app) => arcade.stableLabels(app)

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

describe('an image', () => {
  test('is promoted, given to the Deployment, and its canary is gone; users notice nothing', async () => {
    const before = await calls('bakery')
    const { code, log, outputs } = await release('bakery', `image: "${sampleImages.next}"`)
    expect(code, log).toBe(0)
    expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0' })
    expect(await images('bakery')).toEqual({ bakery: sampleImages.next })
    expect(await stableLabels('bakery')).toBe('{}')
    await eventually(async () => expect((await calls('bakery')).last).toBe('v2'))
    await arcade.expectNoFailure('bakery', before)
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
    await arcade.expectNoFailure('grocer', before)
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
  const file = join(arcade.home, 'dairy.json')
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
  await arcade.expectNoFailure('dairy', before)

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
  await arcade.expectNoFailure('grocer', before)
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
    const file = join(arcade.home, 'wrong.json')
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
    await arcade.expectNoFailure('bakery', before)
  })
})
