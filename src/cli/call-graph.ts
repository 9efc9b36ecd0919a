// Who calls whom, as far as the workloads' own settings tell, and the order in which they are best restarted. Pure.
import { matches } from '../cluster/labels.ts'
import type { Container, Service, Workload } from '../cluster/objects.ts'
import { protocolOf, servicePorts } from '../cluster/service-ports.ts'

/** Callers before what they call; what is reached by plain TCP alone comes last. Otherwise in the order given, and so where they call in a circle. */
export function restartOrder(
  namespace: string,
  workloads: readonly Workload[],
  services: readonly Service[],
): Workload[] {
  const behind = (workload: Workload) =>
    services.filter(({ spec }) => matches(spec.selector ?? {}, workload.spec.template.metadata?.labels))
  const isTcp = (workload: Workload) =>
    behind(workload).length > 0 &&
    behind(workload)
      .flatMap(servicePorts)
      .every((port) => protocolOf(port) === 'tcp')
  const calls = (caller: Workload, callee: Workload) =>
    caller !== callee && behind(callee).some(({ metadata }) => names(caller, metadata.name, namespace))
  const sorted = (group: Workload[]): Workload[] => {
    const next = group.find((each) => !group.some((other) => calls(other, each))) ?? group[0]
    return next ? [next, ...sorted(group.filter((each) => each !== next))] : []
  }
  return [...sorted(workloads.filter((each) => !isTcp(each))), ...sorted(workloads.filter(isTcp))]
}

type Told = Container & { env?: { name: string; value?: string }[]; command?: string[]; args?: string[] }

/** Whether a variable or an argument of it has the service's address, or its bare name as a host. */
function names({ spec }: Workload, service: string, namespace: string): boolean {
  const address = new RegExp(`(^|[/@,=\\s])${service}(\\.${namespace}(\\.svc[a-z0-9.-]*)?)?(:\\d|/|$)`)
  return spec.template.spec.containers.some(
    ({ env = [], command = [], args = [] }: Told) =>
      env.some(
        ({ name, value = '' }) =>
          address.test(value) && (value !== service || /HOST|ADDR|URL|SERVER|ENDPOINT/i.test(name)),
      ) || [...command, ...args].some((text) => text !== service && address.test(text)),
  )
}
