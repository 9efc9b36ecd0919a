// A run that follows a script of real objects, read as the engine reads them.
import { addRequests } from '../../../src/canary/analysis/request-counts.ts'
import type { Observer } from '../../../src/canary/metrics/observer.ts'
import { initialState } from '../../../src/canary/state/start.ts'
import type { KubeObject } from '../../../src/cluster/objects.ts'
import type { EngineType } from '../../../src/config/schema/engine.ts'
import type { FollowContext } from '../../../src/engines/context.ts'
import { engineOf, type Engine, type Live } from '../../../src/engines/engine.ts'
import { FollowedRun } from '../../../src/engines/followed-run.ts'
import type { FlaggerCanary, Rollout } from '../../../src/engines/objects.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, configOf, served } from '../fixtures.ts'
import { canary, ofKind, rollout, running, serviceRoutes, subsetRoutes } from './fixtures.ts'

export type Look = { live: Live; weight: number }

/** `times`: for so many looks. */
export const argo = (status: Rollout['status'], weight = 20, image = 'shop:1', generation = 3): Look => {
  const object = rollout(status)
  const template = { metadata: { labels: { app: 'backend' } }, spec: { containers: [{ name: 'app', image }] } }
  return {
    live: {
      object: {
        ...object,
        metadata: { ...object.metadata, generation },
        spec: { ...object.spec, template },
      } as KubeObject,
    },
    weight,
  }
}
export const flagger = (status: FlaggerCanary['status'], target: string, primary: string, weight = 20): Look => ({
  live: { object: canary(status), workload: running('backend', target), primary: running('backend-primary', primary) },
  weight,
})
export const times = (count: number, look: Look): Look[] => Array.from({ length: count }, () => look)

type Script = {
  type: EngineType
  /** What the cluster has at each poll; the last look lasts. */
  looks: Look[]
  /** The first one that the run follows, unless one is under way; `old` by default. */
  from?: string
  isBegun?: boolean
  /** Of a thousand requests of the canary in each poll. */
  failures?: number
  /** Of users, in each poll, that reach no version. */
  unserved?: number
  plan?: string
  areRoutesFresh?: boolean
  resumeAt?: string
}

export function followLooks({
  type,
  looks,
  from = 'old',
  isBegun = false,
  failures = 0,
  unserved = 0,
  plan = '',
  areRoutesFresh = true,
  resumeAt,
}: Script) {
  const clock = new FakeClock()
  const [notes, aborts, resumed]: [string[], string[], Live[]] = [[], [], []]
  let look = -1
  const now = () => looks[Math.min(Math.max(look, 0), looks.length - 1)]!
  const engine: Engine = {
    ...engineOf(type),
    read: () => {
      look++
      return Promise.resolve(now().live)
    },
    abort: (_, __, revision) => Promise.resolve(aborts.push(revision) > 0),
    resume: (_, live) => Promise.resolve(void resumed.push(live)),
  }
  const observer: Observer = {
    baseline: served(0),
    canaries: () => [],
    health: () => ({ ready: true }),
    sample: () => {
      const [canary, stable] = [served(1000, failures), served(4000)]
      const users = addRequests(canary, stable)
      const lost = unserved > 0 ? { unserved: { requests: 5000 + unserved, violations: unserved } } : {}
      const observed = { canary, stable, users, ready: true, complete: true, ...lost }
      return Promise.resolve({ observed, health: { ready: true }, countsAll: true, canaryTries: 0 })
    },
  }
  const config = configOf(`canary: { service: backend, engine: ${type}, warmup: 0, progressDeadline: 20s, ${plan} }`)
  const [{ live }] = looks as [Look]
  const versions = engine.versions(live.object)
  const routes = () => (type === 'flagger' ? serviceRoutes(now().weight) : subsetRoutes(now().weight)[0])
  const context = {
    cluster: clusterWith({ list: () => Promise.resolve([]) }),
    config,
    plan: { ...config.canary!, ...versions, steps: [20, 100] },
    split: { namespace: 'shop', service: 'backend', ...versions },
    engine,
    type,
    name: 'backend',
    title: `${engine.kind} shop/backend`,
    noticeMs: 20_000,
    looksEveryMs: 0,
    uid: live.object.metadata.uid,
    from,
    isBegun,
    wroteNothing: false,
    template: engine.template(live),
    resumeAt,
    watched: {
      pods: [],
      workloads: [],
      routes: [{ current: () => [routes()], fresh: () => areRoutesFresh, close: () => undefined }],
    },
    deps: {
      clock,
      signal: new AbortController().signal,
      note: (line: string) => notes.push(line),
      warn: () => undefined,
    },
    events: { next: () => [], lastWarning: () => undefined, close: () => undefined },
    observe: () => Promise.resolve(observer),
  } as unknown as FollowContext
  const run = new FollowedRun(context, initialState(context.plan, 0, clock.now()), { stable: {}, canary: {} })
  /** Polls once a second, until it has ended. */
  const toEnd = async () => {
    for (let i = 0; i < 300 && run.isBusy; i++) {
      await run.tick()
      await clock.sleep(1_000)
    }
    if (run.isBusy) throw new Error('the run has not ended')
    return run.conclude({ fast: true })
  }
  return { run, clock, notes, aborts, resumed, toEnd }
}

/** Answers with these objects. `everywhere`: for a list of all namespaces. */
export function clusterOf(objects: readonly KubeObject[], everywhere: readonly KubeObject[] = []) {
  return clusterWith({
    serves: () => Promise.resolve(true),
    get: (kind: string, _: string, name: string) =>
      Promise.resolve(ofKind(objects, kind).find(({ metadata }) => metadata.name === name)),
    list: (kind: string, namespace: string | undefined) =>
      Promise.resolve(ofKind(namespace === undefined ? everywhere : objects, kind)),
    isAllowed: () => Promise.resolve(true),
  })
}
