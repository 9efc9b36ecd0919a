// A fake namespace in which one pod calls the backend fifty times a second, by the routes of its VirtualService. It is a fake
// because these tests are about what the run does when the cluster fails; the end-to-end tests use a real one.
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject, Pod, VirtualService } from '../../../src/cluster/objects.ts'
import type { ExperimentConfig } from '../../../src/config/schema.ts'
import { runExperiment, type EndedExperiment, type FaultIntent } from '../../../src/experiments/experiment.ts'
import { FakeLeaseCluster } from '../canary/ownership/fake-leases.ts'
import { FakeClock } from '../fake-clock.ts'
import { pod, to, virtualService } from '../fixtures.ts'

const host = 'backend.shop.svc.cluster.local'

export class FakeShop {
  readonly clock = new FakeClock()
  readonly leases = new FakeLeaseCluster()
  readonly notes: string[] = []
  readonly intents: (FaultIntent | undefined)[] = []
  readonly controller = new AbortController()
  /** The share of the aborted requests. */
  abortedShare = 0.5
  /** Whether the guard starts. */
  hasGuard = true
  /** Whether sidecars follow the routes, or keep those that they have. */
  hasControlPlane = true
  private applies = false
  /** After each second, before the run continues. */
  everySecond: () => void = () => undefined
  private counted = { good: 0, aborted: 0, until: 0 }

  constructor() {
    this.leases.others['VirtualService'] = virtualService([{ route: [to('v1')] }])
    this.leases.others['Namespace'] = allowing('shop')
    this.clock.afterSleep = () => {
      this.count()
      this.everySecond()
    }
  }

  get virtualService(): VirtualService {
    return this.leases.others['VirtualService'] as VirtualService
  }

  get isFaulted(): boolean {
    return this.virtualService.spec.http!.some(({ name }) => name === 'mesh-canary-fault')
  }

  private count(): void {
    const requests = ((this.clock.time - this.counted.until) / 1000) * 50
    if (this.hasControlPlane) this.applies = this.isFaulted
    const aborted = this.applies ? requests * this.abortedShare : 0
    this.counted.aborted += aborted
    this.counted.good += requests - aborted
    this.counted.until = this.clock.time
  }

  private counters(): string {
    const series = (code: number, flags: string, count: number) =>
      `istio_requests_total{reporter="source",destination_service="${host}",response_code="${code}",response_flags="${flags}"} ${count}`
    return [series(200, '-', this.counted.good), series(503, 'FI', this.counted.aborted)].join('\n')
  }

  readonly api: Cluster = Object.assign({}, this.leases.api, {
    apply: async (object: KubeObject) => {
      const holder = this.leases.holder ?? ''
      if (object.kind === 'Job' && this.hasGuard)
        this.leases.patch([{ op: 'add', path: '/metadata/annotations/mesh-canary.io~1guard', value: holder }])
      return this.leases.api.apply(object)
    },
    get: (kind: string, namespace: string, name: string) =>
      kind === 'Job'
        ? Promise.resolve({ metadata: { name }, status: { ready: 1 } })
        : // Nobody experiments during a promotion here.
          kind === 'Lease' && name.startsWith('mesh-canary-experiment-')
          ? Promise.resolve(undefined)
          : this.leases.api.get(kind as 'Lease', namespace, name),
    snapshot: () => Promise.resolve({ items: [caller], version: '1' }),
    changes: (_: string, __: string, ___: object, ____: string, signal: AbortSignal) => silence(signal),
    pod: () => Promise.resolve(this.counters()),
  })

  run(experiment: ExperimentConfig): Promise<EndedExperiment> {
    return runExperiment(this.api, 'shop', 'trial', experiment, {
      run: 'run 7',
      readGuardProgram: () => '',
      signal: this.controller.signal,
      clock: this.clock,
      note: (line) => this.notes.push(line),
      intent: (each) => this.intents.push(each),
      forward: () => Promise.reject(new Error('no experiment here has a load')),
    })
  }
}

/** A namespace that allows experiments. */
function allowing(name: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'mesh-canary.io/experiments': 'allowed' } },
  }
}

const caller: Pod = pod({ metadata: { name: 'web-1', uid: 'web-1', labels: { app: 'web' } } })

/** A watch in which nothing happens. */
async function* silence(signal: AbortSignal): AsyncGenerator<never> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  yield* []
}
