// What the sidecars counted of the calls of a request: the hops that its trace must have.
import { podsBehind } from '../../cluster/labels.ts'
import type { Route } from './hops.ts'
import { calledServices, grown } from './sidecar-requests.ts'
import type { Application, ProofDeps, SentRequest } from './types.ts'

/**
 * The route of the last of these requests. What the ones before it called counts too: a cached answer must not prove less
 * than the request that filled the cache.
 */
export function routeOf(
  { config }: ProofDeps,
  { entry, services, pods }: Application,
  requests: readonly SentRequest[],
): Route {
  const request = requests.at(-1)!
  const { before, after } = request
  const names = pods.map(({ metadata }) => metadata.name)
  const called = (name: string) =>
    requests.flatMap((each) => callsDuring(each, name === request.pod ? each.pod : name, config.namespace) ?? [])
  return {
    namespace: config.namespace,
    entry: { service: entry.service, pod: request.pod, sidecarSawRequest: request.way !== 'past-sidecar' },
    countedCalls: new Map(names.map((name) => [name, [...new Set(called(name))]])),
    podsWithCounters: new Set(names.filter((name) => grown(before, after, name) !== undefined)),
    statedServices: config.observability!.proof.through ?? [],
    pods: new Map(
      services.map((each) => [each.metadata.name, podsBehind(each, pods).map(({ metadata }) => metadata.name)]),
    ),
  }
}

/** Undefined if the counters of the pod could not be read. */
export function callsDuring({ before, after }: SentRequest, pod: string, namespace: string): string[] | undefined {
  const counted = grown(before, after, pod)
  return counted && calledServices(counted, namespace)
}
