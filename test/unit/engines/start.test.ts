// How a run starts to follow a rollout: what it takes for its own, and where nothing is to do.
import { describe, expect, test } from 'vitest'
import type { ActivePromotion, Idle } from '../../../src/canary/active-promotion.ts'
import type { PromotionDeps, WatchedObjects } from '../../../src/canary/controller/context.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { startFollowing } from '../../../src/engines/start.ts'
import { FakeClock } from '../fake-clock.ts'
import { configOf } from '../fixtures.ts'
import { backendService, canary, ofKind, rollout, running, serviceRoutes, subsetRoutes } from './fixtures.ts'
import { clusterOf } from './followed-objects.ts'

/** Starts with these objects; a patch of the image leaves `after` in the cluster, and calls `onPatch`. */
async function start(
  engine: string,
  image: string,
  before: KubeObject[],
  after = before,
  { signal = new AbortController().signal, onPatch = (): Error | undefined => undefined } = {},
) {
  const notes: string[] = []
  let objects = before
  let failure: Error | undefined
  const cluster: Cluster = {
    ...clusterOf([]),
    get: (...asked) => {
      const [failed] = [failure, (failure = undefined)]
      return failed === undefined ? clusterOf(objects).get(...asked) : Promise.reject(failed)
    },
    list: (...asked) => clusterOf(objects).list(...asked),
    snapshot: () => Promise.reject(new ApiError(403, 'forbidden')),
    patch: (kind) => {
      const patched = ofKind(objects, kind)[0] as KubeObject
      objects = after
      failure = onPatch()
      // What the API server answers: the template is new, the status is old.
      const spec = (ofKind(after, kind)[0] as Workload).spec
      return Promise.resolve({ ...patched, metadata: { ...patched.metadata, generation: 4 }, spec } as never)
    },
  }
  const config = configOf(`namespace: shop\ncanary: { service: backend, engine: ${engine}, ${image} }\n`)
  const routes = [...ofKind(before, 'VirtualService')]
  const watched = {
    pods: [],
    workloads: [],
    routes: [{ current: () => routes, fresh: () => true, close: () => undefined }],
  } as unknown as WatchedObjects
  const deps = {
    clock: new FakeClock(),
    signal,
    note: (line: string) => notes.push(line),
    warn: () => undefined,
    readSidecars: () => Promise.resolve(new Map()),
  } as unknown as PromotionDeps
  const changed: string[] = []
  const onChange = ({ images }: { images: string[] }) => changed.push(...images)
  const started = await startFollowing(cluster, config, config.canary!, watched, deps, onChange)
  return { started, changed, notes: notes.join('\n') }
}

const reasonOf = (started: ActivePromotion | Idle) => ('idle' in started ? started.idle : undefined)
const followedBy = (started: ActivePromotion | Idle) => ('idle' in started ? undefined : started.intent.followed)

const flagger = (status: Parameters<typeof canary>[0], target: string) => [
  backendService,
  serviceRoutes(),
  canary(status),
  running('backend', target),
  running('backend-primary', 'shop:1'),
]
const withImage = (status: Parameters<typeof rollout>[0], image: string, generation: number) => {
  const { metadata, spec, ...rest } = rollout(status)
  const template = { metadata: { labels: { app: 'backend' } }, spec: { containers: [{ name: 'app', image }] } }
  return [
    backendService,
    ...subsetRoutes(),
    { ...rest, metadata: { ...metadata, generation }, spec: { ...spec, template } } as KubeObject,
  ]
}

test('to return to the image that serves after an abort is nothing to do', async () => {
  const nothing = /asks for the version that serves, so there is nothing to roll out/
  const failed = { phase: 'Failed', lastAppliedSpec: 'bad' }
  const ofFlagger = await start('flagger', 'image: "shop:1"', flagger(failed, 'shop:2'), flagger(failed, 'shop:1'))
  expect(reasonOf(ofFlagger.started)).toMatch(nothing)
  expect(ofFlagger.changed).toEqual(['app: shop:1'])
  expect(reasonOf((await start('flagger', '', flagger(failed, 'shop:1'))).started)).toMatch(nothing)
  const aborted = withImage({ phase: 'Degraded', abort: true, currentPodHash: 'bad' }, 'shop:2', 3)
  const back = withImage({ observedGeneration: '4' }, 'shop:1', 4)
  const ofArgo = await start('argo-rollouts', 'image: "shop:1"', aborted, back)
  expect(reasonOf(ofArgo.started)).toMatch(nothing)
})

test('another image after an abort is followed', async () => {
  const aborted = withImage({ phase: 'Degraded', abort: true, currentPodHash: 'bad' }, 'shop:2', 3)
  const begun = withImage({ observedGeneration: '4', phase: 'Progressing', currentPodHash: 'fix' }, 'shop:3', 4)
  const { started } = await start('argo-rollouts', 'image: "shop:3"', aborted, begun)
  expect(followedBy(started)).toEqual({ type: 'argo-rollouts', name: 'backend', from: 'bad' })
})

test.each([
  ['has failed, and the fix is there already', 'Failed'],
  ['waits for approval to begin', 'Waiting'],
])('of a Canary that %s, whatever begins is followed', async (_, phase) => {
  const { started, notes } = await start('flagger', '', flagger({ phase, lastAppliedSpec: 'noted' }, 'shop:3'))
  expect(followedBy(started)).toEqual({ type: 'flagger', name: 'backend', from: '', wroteNothing: true })
  expect(notes).toMatch(/waits whether Flagger begins with the Canary shop\/backend/)
})

describe('once the image is set, it is followed, so that a cancel can abort it,', () => {
  const aborted = withImage({ phase: 'Degraded', abort: true, currentPodHash: 'bad' }, 'shop:2', 3)
  const begun = withImage({ observedGeneration: '4', phase: 'Progressing', currentPodHash: 'fix' }, 'shop:3', 4)
  const followed = { type: 'argo-rollouts', name: 'backend', from: 'bad' }

  test('also if the run is cancelled at that moment', async () => {
    const abort = new AbortController()
    const onPatch = () => {
      abort.abort()
      return undefined
    }
    const options = { signal: abort.signal, onPatch }
    const { started } = await start('argo-rollouts', 'image: "shop:3"', aborted, begun, options)
    expect(followedBy(started)).toEqual(followed)
  })

  test('also if a read fails', async () => {
    const onPatch = () => new ApiError(500, 'etcd is away')
    const { started } = await start('argo-rollouts', 'image: "shop:3"', aborted, begun, { onPatch })
    expect(followedBy(started)).toEqual(followed)
  })
})
