// Requests of the run itself, if users send too few to decide an experiment: through the ingress gateway, as in promotions.
import * as certificate from '../canary/analysis/certificate.ts'
import { defaultMaxRate, missingRate } from '../canary/load/demand.ts'
import { createLoadGenerator, type LoadGenerator } from '../canary/load/generator.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Forward } from '../cluster/forward.ts'
import { matches } from '../cluster/labels.ts'
import type { Pod } from '../cluster/objects.ts'
import type { ExperimentConfig } from '../config/schema.ts'
import { gatewayConnector } from '../mesh/gateway-connector.ts'
import type { Clock } from '../runtime/clock.ts'
import { createEvidence } from './state/evidence.ts'

/** `gateway`: the label `istio` of the gateway that exposes the service. `host`: of the requests. */
export type Exposure = { gateway: string; host: string }

export type ExperimentLoad = {
  /** Adjusts the rate. `requests`: all that the last sample counted. */
  aim: (requests: number) => void
  stop: () => void
}

/** While the fault acts, some requests fail, and each failure takes more requests to decide. */
const spare = 2

/** Requests per second that decide the experiment in time, in the steady state as well as while the fault acts. */
export function wantedRate(experiment: ExperimentConfig): number {
  const { successRate, p99 } = createEvidence(experiment)
  const needed = [successRate, ...(p99 ? [p99] : [])].map((test) => certificate.missingRequests(test.for))
  const { duration, steadyState, minRequests } = experiment
  return spare * Math.max(Math.max(...needed) / (duration / 1000), minRequests / (steadyState / 1000))
}

/** @throws Error if there is no gateway. */
export async function experimentLoad(
  cluster: Cluster,
  experiment: ExperimentConfig,
  { gateway, host }: Exposure,
  pods: () => Pod[],
  forward: Forward,
  clock: Clock,
): Promise<ExperimentLoad> {
  const { load } = experiment
  const atGateway = () => pods().filter(({ metadata }) => matches({ istio: gateway }, metadata.labels))
  const connect = await gatewayConnector(cluster, forward, gateway, atGateway, {
    purpose: 'the requests of an experiment (`load`)',
    otherwise: 'remove `load`',
  })
  const { path = '/', rate = defaultMaxRate } = load ?? {}
  return aimed(createLoadGenerator(connect, { host, path }), wantedRate(experiment), rate, clock)
}

/** Adds to the users' requests what they lack of `wanted` requests per second. */
export function aimed(generator: LoadGenerator, wanted: number, maxRate: number, clock: Clock): ExperimentLoad {
  let lastAimAt = clock.now()
  const setRate = (fromUsers: number, seconds: number) =>
    generator.setRate(missingRate({ needed: wanted, stepMs: 1000, weight: 100, fromUsers, seconds }, maxRate))
  setRate(0, 0)
  return {
    aim: (requests) => {
      const now = clock.now()
      setRate(Math.max(0, requests - generator.takeAnswered()), (now - lastAimAt) / 1000)
      lastAimAt = now
    },
    stop: generator.stop,
  }
}
