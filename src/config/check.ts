// What a single key cannot tell: contradictions between keys.
import { ConfigError } from './error.ts'
import type { Config, ServicePolicy, StageName } from './schema.ts'
import type { Source } from './source.ts'

export function check(config: Config, where: Source['where']): void {
  const faults = [
    ...Object.entries(config.services ?? {}).flatMap(([name, service]) => serviceFaults(service).map(([key, fault]) => at(['services', name, key], fault))),
    ...canaryFaults(config).map(([key, fault]) => at(['canary', key], fault)),
    ...stageFaults(config).map((fault) => at(['stages'], fault)),
  ]
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))

  function at(path: string[], fault: string): string {
    return `${where(path)}: ${path.join('.')}: ${fault}`
  }
}

function serviceFaults({ traffic, subsets, retries, timeout }: ServicePolicy): [string, string][] {
  const faults: [string, string][] = []
  if (traffic) {
    const sum = Object.values(traffic).reduce((total, weight) => total + weight, 0)
    if (sum !== 100) faults.push(['traffic', `the weights add up to ${sum}; make them add up to 100`])
    const missing = Object.keys(traffic).filter((name) => !subsets?.[name])
    if (missing.length > 0) faults.push(['traffic', `names ${missing.join(', ')}, which \`subsets\` does not define; add it there with its labels`])
  }
  if (timeout !== undefined && retries?.perTryTimeout !== undefined && retries.perTryTimeout > timeout)
    faults.push(['retries', `perTryTimeout (${retries.perTryTimeout} ms) is longer than the timeout of the whole request (${timeout} ms), so it never ends a try; make it shorter`])
  return faults
}

function canaryFaults({ canary }: Config): [string, string][] {
  if (!canary) return []
  const faults: [string, string][] = []
  if (canary.stable === canary.canary) faults.push(['canary', `is the same subset as stable (${canary.stable}); name the new one`])
  if (canary.tick > canary.interval) faults.push(['tick', `(${canary.tick} ms) is longer than interval (${canary.interval} ms); make it shorter`])
  return faults
}

/** What each stage cannot do without. */
const needs: Partial<Record<StageName, (config: Config) => string | undefined>> = {
  install: ({ istio }) => (istio ? undefined : 'give `istio`, or at least `istio-version`'),
  inject: ({ workloads }) => (workloads ? undefined : 'give `workloads`, or `workloads: all`'),
  policies: ({ mtls, services, canary }) => (mtls ?? services ?? canary ? undefined : 'give `mtls` or `services`'),
  promote: ({ canary }) => (canary ? undefined : 'give `canary`'),
}

function stageFaults(config: Config): string[] {
  return (config.stages ?? []).flatMap((stage) => {
    const need = needs[stage]?.(config)
    return need ? [`${stage} has nothing to do: ${need}`] : []
  })
}

/** The stages of this run, in their order: those listed, or those that have something to do. */
export function stagesOf(config: Config): StageName[] {
  const all: StageName[] = ['install', 'inject', 'policies', 'verify', 'promote']
  if (config.stages) return all.filter((stage) => config.stages!.includes(stage))
  const working = all.filter((stage) => stage !== 'verify' && needs[stage]?.(config) === undefined)
  return all.filter((stage) => working.includes(stage) || (stage === 'verify' && working.some((each) => each !== 'install')))
}
