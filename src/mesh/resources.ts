// CPU and memory: the requests of pods as the scheduler counts them, and their text form. Pure.
import type { Pod, Quantities } from '../cluster/objects.ts'
import { quantity } from '../config/values/quantities.ts'

/** CPU in thousandths of a core, memory in bytes. */
export type Resources = { cpuMilli: number; memoryBytes: number }

const mebi = 1024 ** 2
const noResources: Resources = { cpuMilli: 0, memoryBytes: 0 }

export function resources(cpuMilli: number, mebibytes: number): Resources {
  return { cpuMilli, memoryBytes: mebibytes * mebi }
}

export function fromQuantities(quantities: Quantities | undefined): Resources {
  return { cpuMilli: Math.round(1000 * quantity(quantities?.['cpu'])), memoryBytes: quantity(quantities?.['memory']) }
}

/**
 * The requests that the scheduler counts for a pod: the sum of its long-running containers, or more if an init
 * container needs more.
 */
export function requestsOf({ spec }: Pod): Resources {
  const init = (spec.initContainers ?? []).map((container) => ({
    isSidecar: container.restartPolicy === 'Always',
    requests: fromQuantities(container.resources?.requests),
  }))
  const containers = spec.containers.map(({ resources }) => fromQuantities(resources?.requests))
  const sidecars = init.filter(({ isSidecar }) => isSidecar).map(({ requests }) => requests)
  // An init container runs beside the sidecars that were started before it.
  const duringInit = init.flatMap(({ isSidecar, requests }, i) => {
    const started = init.slice(0, i).filter((each) => each.isSidecar)
    return isSidecar ? [] : [total([...started.map((each) => each.requests), requests])]
  })
  const peak = [total([...containers, ...sidecars]), ...duringInit].reduce((a, b) => ({
    cpuMilli: Math.max(a.cpuMilli, b.cpuMilli),
    memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
  }))
  return total([peak, fromQuantities(spec.overhead)])
}

export function total(all: Resources[]): Resources {
  return all.reduce(
    (a, b) => ({ cpuMilli: a.cpuMilli + b.cpuMilli, memoryBytes: a.memoryBytes + b.memoryBytes }),
    noResources,
  )
}

export function minus(a: Resources, b: Resources): Resources {
  return { cpuMilli: a.cpuMilli - b.cpuMilli, memoryBytes: a.memoryBytes - b.memoryBytes }
}

export function fitsIn(need: Resources, free: Resources): boolean {
  return need.cpuMilli <= free.cpuMilli && need.memoryBytes <= free.memoryBytes
}

export function formatResources({ cpuMilli, memoryBytes }: Resources): string {
  return `${formatCpu(cpuMilli)} and ${formatMemory(memoryBytes)}`
}

export function formatCpu(milli: number): string {
  return milli >= 1000 ? `${Number((milli / 1000).toFixed(1))} CPU` : `${milli}m CPU`
}

export function formatMemory(bytes: number): string {
  return bytes >= 1024 * mebi ? `${Number((bytes / 1024 / mebi).toFixed(1))} GiB` : `${Math.round(bytes / mebi)} MiB`
}
