// Sends synthetic requests through the ingress gateway if users send too few to judge the canary. They go to a ready
// pod of the gateway, at its port for plain HTTP.
import type { Duplex } from 'node:stream'
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { systemNamespace, type Pod, type Service } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import { isReady } from '../../cluster/pods.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { gatewayLabel } from '../../policies/compile/names.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { requestsToCertify } from '../analysis/checks.ts'
import type { Observation, State } from '../state/types.ts'
import { defaultMaxRate, missingRate } from './demand.ts'
import { createLoadGenerator } from './generator.ts'

/** Opens a connection to a port of a pod. */
export type Forward = (namespace: string, pod: string, port: number) => Promise<Duplex>

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
  const { path, host = defaultHost(config, plan), rate: maxRate = defaultMaxRate } = plan.load!
  const label = gatewayLabel(config, plan.service)!
  const connect = await gatewayConnector(cluster, forward, label, () => pods.flatMap((each) => each.current()))
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

/** The first host that the service is exposed at; else the name of the service. */
function defaultHost(config: Config, { service }: CanaryConfig): string {
  return config.expose?.[service]?.hosts.find((host) => !host.includes('*')) ?? service
}

/** The share of all requests that the canary gets, as requests or as copies, in per cent; 0 outside the steps. */
function canaryShare({ phase, steps, weight }: State): number {
  if (phase === 'waiting' || phase === 'ended') return 0
  const step = steps.at(-1)
  return step?.kind === 'mirror' ? step.weight : weight
}

/** Chooses a pod for each connection. @throws Error if no Service of the gateway has port 80. */
async function gatewayConnector(
  cluster: Cluster,
  forward: Forward,
  label: string,
  pods: () => Pod[],
): Promise<() => Promise<Duplex>> {
  const services = await cluster.list<Service>('Service', systemNamespace)
  const service = services.find(
    ({ spec }) => spec.selector?.['istio'] === label && spec.ports.some(({ port }) => port === 80),
  )
  if (!service) throw new Error(noGateway(label))
  const { targetPort = 80 } = service.spec.ports.find(({ port }) => port === 80)!
  return () => {
    const pod = pods().find((each) => isReady(each) && matches(service.spec.selector!, each.metadata.labels))
    if (!pod) return Promise.reject(new Error(`no pod of the gateway istio=${label} is ready`))
    return forward(systemNamespace, pod.metadata.name, containerPort(pod, targetPort))
  }
}

function noGateway(label: string): string {
  return (
    `synthetic requests (\`load\`) need a gateway, but no Service in ${systemNamespace} ` +
    `with the selector istio=${label} has port 80; ` +
    'install a gateway (the profiles `default` and `demo` include one), or remove `load`'
  )
}

function containerPort({ spec }: Pod, port: number | string): number {
  if (typeof port === 'number') return port
  return spec.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === port)?.containerPort ?? 80
}
