// Why spans or access logs do not reach their collector: the Telemetry, the extension provider, the Service and its port,
// and what answers there.
import { undefinedWhenForbidden } from '../../cluster/api-error.ts'
import { podsBehind } from '../../cluster/labels.ts'
import type { KubeObject, Pod, Service } from '../../cluster/objects.ts'
import { systemNamespace } from '../../cluster/objects.ts'
import { isLive, isReady } from '../../cluster/pods.ts'
import { servicePorts, targetPort } from '../../cluster/service-ports.ts'
import { logCollector, traceCollector, type ServicePort } from '../../config/observability.ts'
import { providersIn } from '../../mesh/extension-providers.ts'
import { meshConfigPlace, readMeshConfig } from '../../mesh/mesh-config.ts'
import { portFaults } from '../../observability/checks.ts'
import { textLines } from '../../runtime/text-lines.ts'
import { logMessage, logTime } from '../log-lines.ts'
import type { ProofDeps } from './types.ts'
import { otlpFault } from './otlp-fault.ts'

type Part = 'traces' | 'logs'
type Named = { providers?: { name?: string }[] }
type Telemetry = KubeObject & { spec?: { tracing?: Named[]; accessLogging?: Named[] } }

/**
 * One sentence; undefined if everything that this account can see is in order. `since`: when the first request was sent,
 * in milliseconds since the epoch.
 */
export async function collectorCause(deps: ProofDeps, part: Part, since: number): Promise<string | undefined> {
  const { observability } = deps.config
  const provider = observability![part]!.provider
  const collector = part === 'traces' ? traceCollector(observability!) : logCollector(observability!)
  return (
    (await telemetryCause(deps, part, provider)) ??
    (await providerCause(deps, provider)) ??
    (collector && (await serviceCause(deps, part, collector))) ??
    (collector && (await istiodCause(deps, collector, since)))
  )
}

/** For a store that does not answer: the collector is often the same program. */
export async function withCollectorCause(deps: ProofDeps, part: Part, failure: string, since: number): Promise<string> {
  const cause = await collectorCause(deps, part, since)
  return cause === undefined ? failure : `${failure}; ${cause}`
}

async function telemetryCause(
  { cluster, config }: ProofDeps,
  part: Part,
  provider: string,
): Promise<string | undefined> {
  const all = await cluster.list<Telemetry>('Telemetry', config.namespace).catch(undefinedWhenForbidden)
  const key = part === 'traces' ? 'tracing' : 'accessLogging'
  const names = all?.flatMap(({ spec }) => (spec?.[key] ?? []).flatMap(({ providers = [] }) => providers))
  if (!names || names.some(({ name }) => name === provider)) return undefined
  return (
    `no Telemetry of ${config.namespace} names the provider ${provider} for ${key}, so the sidecars send nothing; ` +
    'run the stage policies, which writes it'
  )
}

async function providerCause({ cluster, config }: ProofDeps, provider: string): Promise<string | undefined> {
  const place = await meshConfigPlace(cluster, config)
  const map = await readMeshConfig(cluster, place).catch(undefinedWhenForbidden)
  if (!map || providersIn(map).some(({ name }) => name === provider)) return undefined
  return (
    `the mesh config (ConfigMap ${place.namespace}/${place.name}) has no extension provider ${provider}: something has ` +
    'replaced it; run the stage observe, which adds it again'
  )
}

async function serviceCause(deps: ProofDeps, part: Part, collector: ServicePort): Promise<string | undefined> {
  const { cluster } = deps
  const { namespace, name, port: number } = collector
  const service = await cluster.get<Service>('Service', namespace, name).catch(undefinedWhenForbidden)
  const [fault] = await portFaults(cluster, `observability.${part}.collector`, `${namespace}/${name}:${number}`, true)
  const isInstalled = deps.config.observability?.[part]?.collector === 'install'
  const remedy = isInstalled ? '; the stage observe puts the installed one right' : ''
  if (fault !== undefined) return `${fault}${remedy}`
  const pods = await cluster.list<Pod>('Pod', namespace).catch(undefinedWhenForbidden)
  const port = service && servicePorts(service).find((each) => each.port === number)
  // A Service without a selector has endpoints that somebody else writes.
  if (!port || !pods || !service.spec.selector) return undefined
  const behind = podsBehind(service, pods).filter(isLive)
  const pod = behind.find(isReady)
  if (pod) return otlpFault(deps, part, `Service ${namespace}/${name}`, number, pod, targetPort(pod, port) ?? number)
  return (
    `no pod behind the Service ${namespace}/${name} is ready (${behind.length} live), so nothing takes the ${part}; ` +
    'start the collector'
  )
}

/** What istiod last said of the collector's Service while requests were sent; before, it may have been another one. */
async function istiodCause(
  { cluster }: ProofDeps,
  { namespace, name }: ServicePort,
  since: number,
): Promise<string | undefined> {
  const pods = await cluster.list<Pod>('Pod', systemNamespace, { labelSelector: 'app=istiod' }).catch(() => [])
  const read = ({ metadata }: Pod) => cluster.log(systemNamespace, metadata.name, 'discovery', 300).catch(() => '')
  const logs = await Promise.all(pods.map(read))
  const line = logs
    .flatMap(textLines)
    .filter((each) => logTime(each) >= since)
    .findLast((each) => each.includes('could not find cluster') && each.includes(`${name}.${namespace}.`))
  return line === undefined ? undefined : `istiod says: ${logMessage(line)}`
}
