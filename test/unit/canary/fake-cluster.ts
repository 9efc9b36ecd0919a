// A fake cluster that serves a canary. A test promotes on it, and decides when it fails.
import type { Promotion } from '../../../src/canary/controller/context.ts'
import type { PromotionProgress, RecoveryIntent } from '../../../src/canary/active-promotion.ts'
import { promote } from '../../../src/canary/promote.ts'
import type { PromoteDeps } from '../../../src/canary/waves.ts'
import { ApiError } from '../../../src/cluster/api-error.ts'
import type { Cluster, PatchOperation } from '../../../src/cluster/client.ts'
import type { KubeObject, Lease, Pod, VirtualService, Workload } from '../../../src/cluster/objects.ts'
import type { ObjectWatch } from '../../../src/cluster/watch.ts'
import { FakeClock } from '../fake-clock.ts'
import { clusterWith, configOf, pod, to, virtualService } from '../fixtures.ts'
import { patched } from '../patched.ts'

const defaultConfig = configOf(
  '{ namespace: shop, canary: { service: backend, interval: 10s, pollInterval: 1s, progressDeadline: 20s, guard: off } }',
)

/**
 * A cluster whose service gets 100 requests a second, split as its VirtualService says. It is a fake because the unit
 * tests check what the loop does when the cluster fails. The end-to-end tests promote on a real one.
 */
export class FakeCluster {
  readonly clock: FakeClock
  virtualService: VirtualService
  /** The share of the canary's requests that fail. */
  failureShare = 0
  /** The edges of the latency buckets, in milliseconds; each request is faster than all of them. */
  edges: number[] = []
  /** How long the proxies take to follow a written weight. */
  proxyLagMs = 0
  /** Runs before each call. If it returns an error, the call fails with that error. */
  before: (verb: string, what: string) => Error | undefined = () => undefined
  canaryStatus: Pod['status'] = pod().status
  stableStatus: Pod['status'] = pod().status
  selector: Record<string, string> = { app: 'backend' }
  /** The weights of the canary, in the order of the writes. */
  readonly weights: number[] = []
  readonly notes: string[] = []
  readonly warnings: string[] = []
  readonly intents: RecoveryIntent[][] = []
  /** The promotions after each poll. */
  readonly progress: PromotionProgress[][] = []
  lease: Lease | undefined
  configMaps: Record<string, KubeObject> = {}
  workloads: Workload[] = []
  readonly controller = new AbortController()
  private served = { v1: 0, v2: 0, failed: 0 }
  private servedUntil = 0
  private readonly proxyWeights: { at: number; weight: number }[]

  constructor(weight = 0, clock = new FakeClock()) {
    this.clock = clock
    this.proxyWeights = [{ at: -1, weight }]
    this.virtualService = virtualService([{ route: [to('v1', 100 - weight), to('v2', weight)] }])
  }

  get weight(): number {
    return this.virtualService.spec.http![0]!.route![1]!.weight!
  }

  /** Someone sets the canary's weight. */
  setWeight(weight: number): void {
    this.virtualService = virtualService([{ route: [to('v1', 100 - weight), to('v2', weight)] }])
    this.touch()
  }

  async promote(config = defaultConfig, more: Partial<PromoteDeps> = {}): Promise<Promotion> {
    const [promotion] = await promote(this.api, config, {
      follow: () => Promise.reject(new Error('the test did not expect the rollout of a controller')),
      ...more,
      signal: this.controller.signal,
      note: (line) => this.notes.push(line),
      warn: (line) => this.warnings.push(line),
      intent: (each) => this.intents.push(each),
      onProgress: (each) => this.progress.push(each),
      run: 'run 7',
      clock: this.clock,
      readGuardProgram: () => '',
      redact: (value) => value,
      forward: () => Promise.reject(new Error('the test did not expect a port-forward')),
    })
    return promotion!
  }

  /** The current state of a watch of the kind. */
  private readonly live = (kind: string): ObjectWatch<KubeObject> => ({
    current: () => this.objectsOf(kind),
    fresh: () => this.before('watch', kind) === undefined,
    close: () => undefined,
  })

  private objectsOf(kind: string): KubeObject[] {
    if (kind === 'Pod') return [this.podOf('v1'), this.podOf('v2')]
    if (kind === 'VirtualService') return [structuredClone(this.virtualService)]
    return kind === 'Deployment' ? this.workloads : []
  }

  readonly api: Cluster = Object.assign(
    clusterWith({
      get: (kind: string, _: string, name: string) => this.answer('get', kind, () => this.read(kind, name)),
      list: (kind: string) => this.answer('list', kind, () => (kind === 'Pod' ? [] : this.objectsOf(kind))),
      log: () => Promise.resolve('Error: no DB_HOST\n'),
      pod: (_: string, name: string) => this.answer('pod', name, () => this.counters(name)),
      create: (lease: Lease) => this.answer('create', 'Lease', () => this.createLease(lease)),
      apply: (object: KubeObject) => this.answer('apply', object.kind, () => this.store(object)),
      remove: (kind: string) => this.answer('remove', kind, () => this.remove(kind)),
      patch: (kind: string, _: string, __: string, operations: PatchOperation[]) =>
        this.answer('patch', kind, () =>
          kind === 'Lease' ? this.patchLease(operations) : this.patchRoutes(operations),
        ),
    }),
    { live: this.live },
  )

  private store(object: KubeObject): KubeObject {
    if (object.kind === 'ConfigMap') this.configMaps[object.metadata.name] = object
    return object
  }

  private read(kind: string, name: string): object | undefined {
    if (kind === 'ConfigMap') return this.configMaps[name]
    if (kind === 'Job') return { metadata: { name }, status: { ready: 1 } }
    if (kind === 'Service')
      return { metadata: { name: 'backend', namespace: 'shop' }, spec: { selector: this.selector, ports: [] } }
    if (kind === 'Lease') return structuredClone(this.lease)
    if (kind === 'Deployment') return this.workloads.find(({ metadata }) => metadata.name === name)
    return kind === 'VirtualService' ? structuredClone(this.virtualService) : undefined
  }

  private createLease(lease: Lease): Lease {
    this.lease = { ...lease, metadata: { ...lease.metadata, uid: 'lease', resourceVersion: '1' } }
    return this.lease
  }

  private remove(kind: string): boolean {
    if (kind !== 'Lease') return false
    this.lease = undefined
    return true
  }

  private answer<T>(verb: string, what: string, value: () => T): Promise<T> {
    const error = this.before(verb, what)
    return error ? Promise.reject(error) : Promise.resolve(value())
  }

  private podOf(version: 'v1' | 'v2'): Pod {
    return pod({
      metadata: { name: version, uid: version, labels: { app: 'backend', version } },
      status: version === 'v2' ? this.canaryStatus : this.stableStatus,
    })
  }

  private serve(): void {
    const requests = (this.clock.time - this.servedUntil) / 10
    this.servedUntil = this.clock.time
    const atCanary = (requests * this.proxyWeights.findLast(({ at }) => at < this.clock.time)!.weight) / 100
    this.served = {
      v1: this.served.v1 + requests - atCanary,
      v2: this.served.v2 + atCanary,
      failed: this.served.failed + atCanary * this.failureShare,
    }
  }

  private counters(version: string): string {
    this.serve()
    const failed = version === 'v2' ? Math.floor(this.served.failed) : 0
    const line = (code: number, count: number) =>
      `istio_requests_total{reporter="destination",response_code="${code}"} ${count}\n`
    const all = Math.floor(this.served[version as 'v1' | 'v2'])
    const buckets = [...this.edges, '+Inf'].map(
      (le) => `istio_request_duration_milliseconds_bucket{reporter="destination",le="${le}"} ${all}\n`,
    )
    return [line(200, all - failed), line(503, failed), ...(this.edges.length > 0 ? buckets : [])].join('')
  }

  private patchLease(operations: PatchOperation[]): Lease {
    try {
      return (this.lease = patched(this.lease!, operations))
    } catch {
      throw new ApiError(422, 'the server rejected our request due to an error in our request')
    }
  }

  private patchRoutes(operations: PatchOperation[]): VirtualService {
    this.serve()
    for (const { op, path, value } of operations) {
      if (op === 'test' && value !== this.virtualService.metadata.resourceVersion)
        throw new ApiError(422, 'the server rejected our request due to an error in our request')
      const place = /^\/spec\/http\/(\d)\/route\/(\d)\/weight$/.exec(path)
      if (place) this.virtualService.spec.http![Number(place[1])]!.route![Number(place[2])]!.weight = value as number
    }
    this.touch()
    this.weights.push(this.weight)
    return this.virtualService
  }

  /** Someone writes to the VirtualService. */
  touch(): void {
    this.virtualService.metadata.resourceVersion = String(Number(this.virtualService.metadata.resourceVersion) + 1)
    this.proxyWeights.push({ at: this.clock.time + this.proxyLagMs, weight: this.weight })
  }
}
