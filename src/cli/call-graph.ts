// Which workload calls which, as far as their environment and arguments tell, and the restart order that follows. Pure.
import { matches } from '../cluster/labels.ts'
import type { Service, Workload } from '../cluster/objects.ts'
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
  const servicesOf = (workload: Workload) =>
    services.filter(({ spec }) => matches(spec.selector ?? {}, workload.spec.template.metadata?.labels))
  const calls = (caller: Workload, callee: Workload) =>
    caller !== callee &&
    servicesOf(callee).some(({ metadata }) =>
      mentionsService(caller.spec.template.spec.containers, metadata.name, namespace),
    )
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
