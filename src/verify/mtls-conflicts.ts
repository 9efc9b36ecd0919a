// Finds what would undo the mutual TLS that a config asks for: PeerAuthentications for workloads that win over it, and
// DestinationRules that make callers send what the mode refuses. Pure.
import { matches } from '../cluster/labels.ts'
import { titleOf, type DestinationRule, type Pod, type Service } from '../cluster/objects.ts'
import { servicePorts, targetPort } from '../cluster/service-ports.ts'
import { expectsSidecar, hasSidecar } from '../mesh/sidecar.ts'
import { hostOf } from '../policies/compile/names.ts'
import { fullHost, matchesHost } from '../policies/routes.ts'
import { listNames } from '../runtime/errors.ts'
import type { MtlsFacts } from './mtls-facts.ts'
import { effectiveMode, hasSelector, portsOf, statedMode, type Mode } from './mtls-modes.ts'

const inMesh = ({ pods }: MtlsFacts) => pods.filter((pod) => hasSidecar(pod) || expectsSidecar(pod))

/**
 * One sentence for each PeerAuthentication for workloads that gives a port another mode than the config asks for.
 * Those for whole namespaces conflict whether there are pods or not: policies/conflicts/namespace-conflicts.ts.
 */
export function undoneModes(facts: MtlsFacts): string[] {
  const undone = inMesh(facts).flatMap((pod) =>
    portsOf(pod, facts.services).flatMap(({ number }) => {
      const stated = statedMode(pod, number, facts.asked)
      const { mode, by } = effectiveMode(pod, number, facts.after)
      if (stated === undefined || by === undefined || mode === stated || !hasSelector(by)) return []
      return [{ title: titleOf(by), stated, mode, place: `${pod.metadata.name}:${number}` }]
    }),
  )
  const groups = Map.groupBy(undone, ({ title, stated, mode }) => `${title} ${stated} ${mode}`)
  return [...groups.values()].map((group) => {
    const { title, stated, mode } = group[0]!
    return (
      `mtls: the ${title} sets ${mode} for ${listNames(group.map(({ place }) => place))}, where this config asks for ` +
      `${stated}: it is for single workloads, or older than the one of this config, so Istio follows it; delete it, or ` +
      'state the same exception in `mtls.workloads`'
    )
  })
}

/** What a caller's sidecar sends by a DestinationRule, where the server's mode refuses it. */
const refused: Record<Mode, readonly string[]> = {
  STRICT: ['DISABLE', 'SIMPLE'],
  PERMISSIVE: [],
  DISABLE: ['ISTIO_MUTUAL', 'MUTUAL'],
}

/** One sentence for each DestinationRule with which callers of a service would fail in the mode of the config. */
export function refusedCallers(facts: MtlsFacts): string[] {
  const found = facts.services.flatMap((service) => {
    const host = hostOf(service.metadata.name, facts.namespace)
    const rules = rulesInForce(host, facts)
    return servicePorts(service).flatMap((port) => {
      const mode = statedModeBehind(service, port, facts)
      if (mode === undefined) return []
      return rules.flatMap((rule) => {
        const sent = tlsModes(rule, port.port).find((each) => refused[mode].includes(each))
        return sent === undefined ? [] : [{ rule, sent, mode, place: `${host}:${port.port}` }]
      })
    })
  })
  const groups = Map.groupBy(found, ({ rule, sent, mode }) => `${titleOf(rule)} ${sent} ${mode}`)
  return [...groups.values()].map((group) => {
    const { rule, sent, mode } = group[0]!
    return (
      `mtls: the ${titleOf(rule)} makes sidecars send tls.mode ${sent} to ${listNames(group.map(({ place }) => place))}, ` +
      `which ${mode} refuses, so its callers would get 503; remove \`tls\` from it, or except the port in ` +
      '`mtls.workloads`'
    )
  })
}

/** The mode that the config states for the pods behind the port; undefined if it states none, or they differ. */
function statedModeBehind(
  { spec }: Service,
  port: Service['spec']['ports'][number],
  facts: MtlsFacts,
): Mode | undefined {
  const pods = inMesh(facts).filter(({ metadata }) => spec.selector && matches(spec.selector, metadata.labels))
  const modes = pods.map((pod: Pod) => {
    const number = targetPort(pod, port)
    return number === undefined ? undefined : statedMode(pod, number, facts.asked)
  })
  return new Set(modes).size === 1 ? modes[0] : undefined
}

/** The rules for the host, in each namespace only the most specific ones. */
function rulesInForce(host: string, { destinationRules, namespace }: MtlsFacts): DestinationRule[] {
  const hostOfRule = ({ metadata, spec }: DestinationRule) =>
    spec.host.startsWith('*') ? spec.host : fullHost(spec.host, metadata.namespace ?? '')
  const fitting = destinationRules.filter((rule) => matchesHost(hostOfRule(rule), host))
  return fitting.filter(({ metadata, ...rule }) => {
    const own = hostOfRule({ metadata, ...rule })
    const hides = (other: DestinationRule) =>
      other.metadata.namespace === metadata.namespace
        ? specificity(hostOfRule(other)) > specificity(own)
        : own.startsWith('*') && other.metadata.namespace === namespace
    return !fitting.some(hides)
  })
}

const specificity = (pattern: string) => (pattern.startsWith('*') ? pattern.length : Infinity)

type TrafficPolicy = {
  tls?: { mode?: string }
  portLevelSettings?: { port?: { number?: number }; tls?: { mode?: string } }[]
}

/** The modes of the rule and of its subsets for the port. A setting for the port replaces that of all ports. */
function tlsModes({ spec }: DestinationRule, port: number): string[] {
  const { trafficPolicy, subsets = [] } = spec as {
    trafficPolicy?: TrafficPolicy
    subsets?: { trafficPolicy?: TrafficPolicy }[]
  }
  const modeFor = (policy: TrafficPolicy = {}) => {
    const ofPort = policy.portLevelSettings?.find((each) => each.port?.number === port)
    return ofPort ? ofPort.tls?.mode : policy.tls?.mode
  }
  return [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)]
    .map(modeFor)
    .filter((mode) => mode !== undefined)
}
