// Which workload calls which, as far as their environment and arguments tell, and the restart order that follows. Pure.
import { selectorIndex } from '../cluster/labels.ts'
import type { Container, Service, Workload } from '../cluster/objects.ts'
import { mentionsService } from '../cluster/service-mentions.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'

/**
 * Callers come before the workloads that they call; workloads that are reached by plain TCP only come last.
 * Otherwise, and if they call each other in a circle, the given order stays.
 */
export function restartOrder(
  namespace: string,
  workloads: readonly Workload[],
  services: readonly Service[],
): Workload[] {
  const servicesOf = servicesByWorkload(workloads, services)
  const callees = calleesByWorkload(namespace, workloads, servicesOf)
  const isTcpOnly = (workload: Workload) => {
    const own = servicesOf.get(workload) ?? []
    return own.length > 0 && own.flatMap(servicePorts).every((port) => protocolOf(port) === 'tcp')
  }
  const [tcpOnly, others] = [workloads.filter(isTcpOnly), workloads.filter((each) => !isTcpOnly(each))]
  return [...callersFirst(others, callees), ...callersFirst(tcpOnly, callees)]
}

type Callees = ReadonlyMap<Workload, ReadonlySet<Workload>>

function servicesByWorkload(workloads: readonly Workload[], services: readonly Service[]): Map<Workload, Service[]> {
  const select = selectorIndex(workloads, ({ spec }) => spec.template.metadata?.labels)
  const found = new Map<Workload, Service[]>()
  for (const service of services)
    for (const workload of select(service.spec.selector ?? {}))
      found.set(workload, [...(found.get(workload) ?? []), service])
  return found
}

/** Only names that a workload's texts have in them are looked at closely: a namespace may have a thousand services. */
function calleesByWorkload(
  namespace: string,
  workloads: readonly Workload[],
  servicesOf: ReadonlyMap<Workload, Service[]>,
): Callees {
  const behind = new Map<string, Workload[]>()
  for (const [workload, services] of servicesOf)
    for (const { metadata } of services) behind.set(metadata.name, [...(behind.get(metadata.name) ?? []), workload])
  const calleesOf = (caller: Workload) => {
    const { containers } = caller.spec.template.spec
    const called = [...wordsIn(containers)].filter(
      (name) => behind.has(name) && mentionsService(containers, name, namespace),
    )
    return new Set(called.flatMap((name) => behind.get(name)!).filter((callee) => callee !== caller))
  }
  return new Map(workloads.map((caller) => [caller, calleesOf(caller)]))
}

/** All that could be the name of a service. */
function wordsIn(containers: readonly Container[]): Set<string> {
  const texts = containers.flatMap(({ env = [], command = [], args = [] }) => [
    ...env.map(({ value = '' }) => value),
    ...command,
    ...args,
  ])
  return new Set(texts.flatMap((text) => text.split(/[^a-z0-9-]+/)))
}

/** In a circle of calls, the first workload in the given order comes first. */
function callersFirst(group: readonly Workload[], callees: Callees): Workload[] {
  const left = new Set(group)
  const callers = new Map(group.map((each) => [each, 0]))
  const calleesIn = (each: Workload) => [...(callees.get(each) ?? [])].filter((callee) => callers.has(callee))
  for (const caller of group) for (const callee of calleesIn(caller)) callers.set(callee, callers.get(callee)! + 1)
  const order: Workload[] = []
  while (left.size > 0) {
    const [first] = left
    const next = left.values().find((each) => callers.get(each) === 0) ?? first!
    left.delete(next)
    order.push(next)
    for (const callee of calleesIn(next)) callers.set(callee, callers.get(callee)! - 1)
  }
  return order
}
