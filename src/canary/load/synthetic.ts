// Requests of our own through the ingress gateway: the way to it is a ready pod of it and the port on which it speaks plain
// HTTP, and there are as many as the users' leave to be wished for.
import type { Duplex } from 'node:stream'
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import { systemNamespace, type Pod, type Service } from '../../cluster/objects.ts'
import type { ObjectWatch } from '../../cluster/watch.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { isReady } from '../../mesh/sidecar.ts'
import { gatewayLabel } from '../../policies/compile/index.ts'
import { requestsToCertify } from '../analysis/checks.ts'
import { createLoadGenerator, missingRate } from './generator.ts'
import type { Observation, State } from '../state/machine.ts'
import { monotonicNow } from '../../runtime/clock.ts'

export type Forward = (namespace: string, pod: string, port: number) => Promise<Duplex>

/** Requests of our own, as many as the users' leave to be wished for. */
export async function syntheticLoad(
  cluster: Cluster,
  config: Config,
  plan: CanaryConfig,
  pods: ObjectWatch<Pod>[],
  forward: Forward,
): Promise<{ aim: (state: State, observation: Observation) => void; stop: () => void }> {
  const {
    path,
    host = config.expose?.[plan.service]?.hosts.find((each) => !each.includes('*')) ?? plan.service,
    rate = 100,
  } = plan.load!
  const connect = await connector(cluster, forward, gatewayLabel(config, plan.service)!, () =>
    pods.flatMap((each) => each.current()),
  )
  const { answered, rate: send, stop } = createLoadGenerator(connect, { host, path })
  const needed = requestsToCertify(plan)
  let since = monotonicNow()
  return {
    aim: ({ phase, steps, weight }, { canary, stable }) => {
      const [ours, seconds] = [answered(), (monotonicNow() - since) / 1000]
      since = monotonicNow()
      const share = steps.at(-1)?.kind === 'mirror' ? steps.at(-1)!.weight : weight
      send(
        phase === 'waiting' || phase === 'ended'
          ? 0
          : missingRate(
              needed,
              share,
              plan.interval,
              Math.max(0, canary.requests + stable.requests - ours),
              seconds,
              rate,
            ),
      )
    },
    stop,
  }
}

/** @throws Error when no Service of the gateway has the port 80. The pod is chosen anew for each connection. */
async function connector(
  cluster: Cluster,
  forward: Forward,
  label: string,
  pods: () => Pod[],
): Promise<() => Promise<Duplex>> {
  const services = await cluster.list<Service>('Service', systemNamespace)
  const service = services.find(
    ({ spec }) => spec.selector?.['istio'] === label && spec.ports.some(({ port }) => port === 80),
  )
  if (!service)
    throw new Error(
      `canary.load: no Service in ${systemNamespace} with the selector istio=${label} has the port 80, through which the requests would go; install a gateway (the profile \`default\` or \`demo\` has one), or leave \`load\` out`,
    )
  const { targetPort = 80 } = service.spec.ports.find(({ port }) => port === 80)!
  return () => {
    const pod = pods().find((each) => isReady(each) && matches(service.spec.selector!, each.metadata.labels))
    if (!pod) return Promise.reject(new Error(`no pod of the gateway istio=${label} is ready`))
    return forward(systemNamespace, pod.metadata.name, portOf(pod, targetPort))
  }
}

function portOf({ spec }: Pod, port: number | string): number {
  if (typeof port === 'number') return port
  return spec.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === port)?.containerPort ?? 80
}
