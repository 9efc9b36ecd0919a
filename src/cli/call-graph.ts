// Which workload calls which, as far as their environment and arguments tell, and the restart order that follows. Pure.
import { matches } from '../cluster/labels.ts'
import type { Container, Service, Workload } from '../cluster/objects.ts'
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
  const servicesOf = (workload: Workload) =>
    services.filter(({ spec }) => matches(spec.selector ?? {}, workload.spec.template.metadata?.labels))
  const calls = (caller: Workload, callee: Workload) =>
    caller !== callee && servicesOf(callee).some(({ metadata }) => mentions(caller, metadata.name, namespace))
  const isTcpOnly = (workload: Workload) => {
    const ports = servicesOf(workload).flatMap(servicePorts)
    return servicesOf(workload).length > 0 && ports.every((port) => protocolOf(port) === 'tcp')
  }
  return [
    ...callersFirst(
      workloads.filter((each) => !isTcpOnly(each)),
      calls,
    ),
    ...callersFirst(workloads.filter(isTcpOnly), calls),
  ]
}

/** In a circle of calls, the first workload in the given order comes first. */
function callersFirst(group: Workload[], calls: (caller: Workload, callee: Workload) => boolean): Workload[] {
  const next = group.find((each) => !group.some((other) => calls(other, each))) ?? group[0]
  if (!next) return []
  return [
    next,
    ...callersFirst(
      group.filter((each) => each !== next),
      calls,
    ),
  ]
}

type ContainerSettings = Container & { env?: { name: string; value?: string }[]; command?: string[]; args?: string[] }

/** True if an environment variable or an argument contains the service's address, or its bare name as a host. */
function mentions({ spec }: Workload, service: string, namespace: string): boolean {
  const address = new RegExp(`(^|[/@,=\\s])${service}(\\.${namespace}(\\.svc[a-z0-9.-]*)?)?(:\\d|/|$)`)
  const isHostVariable = (name: string) => /HOST|ADDR|URL|SERVER|ENDPOINT/i.test(name)
  return spec.template.spec.containers.some(
    ({ env = [], command = [], args = [] }: ContainerSettings) =>
      env.some(({ name, value = '' }) => address.test(value) && (value !== service || isHostVariable(name))) ||
      [...command, ...args].some((text) => text !== service && address.test(text)),
  )
}
