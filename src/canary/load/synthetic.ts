// Sends synthetic requests through the ingress gateway if users send too few to judge the canary. They go to a ready
// pod of the gateway, at its port for plain HTTP.
import type { Cluster } from '../../cluster/client.ts'
import type { Forward } from '../../cluster/forward.ts'
import type { Pod } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { gatewayConnector } from '../../mesh/gateway-connector.ts'
import { exposedHost, gatewayLabel } from '../../policies/compile/names.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { requestsToCertify } from '../analysis/checks.ts'
import type { Observation, State } from '../state/types.ts'
import { defaultMaxRate, missingRate } from './demand.ts'
import { createLoadGenerator } from './generator.ts'

export type SyntheticLoad = {
  /** Adjusts the rate to what the last sample showed. */
  aim: (state: State, observation: Observation) => void
  stop: () => void
}

/** Adds the requests that the users' traffic lacks to certify the success rate within a step. */
export async function syntheticLoad(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  pods: ObjectWatch<Pod>[],
  forward: Forward,
  clock: Clock = systemClock,
): Promise<SyntheticLoad> {
  const { path, host = exposedHost(config, plan.service), rate: maxRate = defaultMaxRate } = plan.load!
  const label = gatewayLabel(config, plan.service)!
  const connect = await gatewayConnector(cluster, forward, label, () => pods.flatMap((each) => each.current()), {
    purpose: 'synthetic requests (`load`)',
    otherwise: 'remove `load`',
  })
  const generator = createLoadGenerator(connect, { host, path })
  const needed = requestsToCertify(plan)
  let lastAimAt = clock.now()
  return {
    aim: (state, { canary, stable }) => {
      const [now, synthetic] = [clock.now(), generator.takeAnswered()]
      const demand = {
        needed,
        stepMs: plan.interval,
        weight: canaryShare(state),
        fromUsers: Math.max(0, canary.requests + stable.requests - synthetic),
        seconds: (now - lastAimAt) / 1000,
      }
      lastAimAt = now
      generator.setRate(missingRate(demand, maxRate))
    },
    stop: generator.stop,
  }
}

/** The share of all requests that the canary gets, as requests or as copies, in per cent; 0 outside the steps. */
function canaryShare({ phase, steps, weight }: State): number {
  if (phase === 'waiting' || phase === 'ended') return 0
  const step = steps.at(-1)
  return step?.kind === 'mirror' ? step.weight : weight
}
