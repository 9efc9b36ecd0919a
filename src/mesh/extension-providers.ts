// Extension providers: where the mesh sends traces and access logs, as its mesh config defines them. Those that
// mesh-canary adds are listed in an annotation of the ConfigMap, so that only they are removed again. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { ConfigMap } from '../cluster/objects.ts'
import { logCollector, traceCollector, type ServicePort } from '../config/observability.ts'
import type { ObservabilityConfig } from '../config/schema.ts'
import { isMap } from '../runtime/is-map.ts'
import { parse } from '../yaml/parse.ts'
import { stringify } from '../yaml/stringify.ts'
import { defaultRevision } from './labels.ts'

export type ExtensionProvider = { name: string } & Record<string, unknown>

/** On the ConfigMap of the mesh config: the names of the providers that mesh-canary added, with commas between them. */
export const providersAnnotation = 'mesh-canary.io/extension-providers'

/** The name of the ConfigMap that holds the mesh config of a revision. */
export function meshConfigName(revision: string): string {
  return revision === defaultRevision ? 'istio' : `istio-${revision}`
}

/** The providers that the section asks for. */
export function desiredProviders(observability: ObservabilityConfig): ExtensionProvider[] {
  const { traces, logs } = observability
  const [spans, records] = [traceCollector(observability), logCollector(observability)]
  return [
    ...(traces && spans ? [{ name: traces.provider, opentelemetry: addressOf(spans) }] : []),
    ...(logs ? [{ name: logs.provider, ...(records ? otlpLogs(records) : stdoutLogs) }] : []),
  ]
}

function addressOf({ namespace, name, port }: ServicePort): { service: string; port: number } {
  return { service: `${name}.${namespace}.svc.cluster.local`, port }
}

/** Names of OpenTelemetry's semantic conventions, where there is one; values of Envoy's command operators. */
const attributes = {
  trace_id: '%TRACE_ID%',
  'service.name': '%ENVIRONMENT(ISTIO_META_WORKLOAD_NAME)%',
  'k8s.namespace.name': '%ENVIRONMENT(POD_NAMESPACE)%',
  'k8s.pod.name': '%ENVIRONMENT(POD_NAME)%',
  'http.request.method': '%REQ(:METHOD)%',
  'url.path': '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  'network.protocol.name': '%PROTOCOL%',
  'http.response.status_code': '%RESPONSE_CODE%',
  'rpc.grpc.status_code': '%GRPC_STATUS_NUMBER%',
  'envoy.response_flags': '%RESPONSE_FLAGS%',
  'envoy.response_code_details': '%RESPONSE_CODE_DETAILS%',
  'envoy.duration_ms': '%DURATION%',
  'envoy.upstream.cluster': '%UPSTREAM_CLUSTER%',
  'envoy.upstream.address': '%UPSTREAM_HOST%',
  'http.request.header.x-request-id': '%REQ(X-REQUEST-ID)%',
  'server.address': '%REQ(:AUTHORITY)%',
  'client.address': '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
} as const

const stdoutLogs = {
  envoyFileAccessLog: { path: '/dev/stdout', logFormat: { labels: { timestamp: '%START_TIME%', ...attributes } } },
}

function otlpLogs(collector: ServicePort): object {
  return {
    envoyOtelAls: {
      ...addressOf(collector),
      logFormat: { text: '%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS%', labels: attributes },
    },
  }
}

/** As much of it as the program uses. */
export type MeshConfig = {
  defaultProviders?: Record<string, string[] | undefined>
  defaultConfig?: { tracing?: object }
  extensionProviders?: ExtensionProvider[]
  /** For routes that state no retries. Istio 1.24 and later. */
  defaultHttpRetryPolicy?: { attempts?: number; retryOn?: string; perTryTimeout?: string }
}

/** Empty for a ConfigMap without a mesh config. */
export function meshConfigIn({ data = {} }: ConfigMap): MeshConfig {
  const { value } = parse(data['mesh'] ?? '')
  return isMap(value) ? value : {}
}

export function providersIn(map: ConfigMap): ExtensionProvider[] {
  return meshConfigIn(map).extensionProviders ?? []
}

/** The providers that the whole mesh uses. */
export function defaultProviderNames(map: ConfigMap): string[] {
  return Object.values(meshConfigIn(map).defaultProviders ?? {}).flatMap((names = []) => names)
}

/** The names of the providers that mesh-canary added. */
export function addedNames({ metadata: { annotations = {} } }: ConfigMap): string[] {
  return (annotations[providersAnnotation] ?? '').split(',').filter((name) => name !== '')
}

/** Those of the desired providers whose names stand for something else that mesh-canary did not add. */
export function takenProviders(map: ConfigMap, desired: readonly ExtensionProvider[]): ExtensionProvider[] {
  const added = addedNames(map)
  return desired.filter((provider) => {
    const live = providersIn(map).find(({ name }) => name === provider.name)
    return live !== undefined && !added.includes(provider.name) && !isDeepStrictEqual(live, provider)
  })
}

/**
 * The ConfigMap with the desired providers, and without those of `unwanted` that mesh-canary added. Undefined if it is so
 * already. A provider that somebody else defined in the same way is used, and stays theirs.
 */
export function withProviders(
  map: ConfigMap,
  desired: readonly ExtensionProvider[],
  unwanted: readonly string[],
): ConfigMap | undefined {
  const [live, added] = [providersIn(map), addedNames(map)]
  const removed = unwanted.filter((name) => added.includes(name))
  const written = desired.filter(
    (provider) => !live.some((each) => each.name === provider.name && isDeepStrictEqual(each, provider)),
  )
  if (removed.length === 0 && written.length === 0) return undefined
  const replaced = [...removed, ...written.map(({ name }) => name)]
  const providers = [...live.filter(({ name }) => !replaced.includes(name)), ...written]
  const names = new Set([...added.filter((name) => !removed.includes(name)), ...written.map(({ name }) => name)])
  return replaceProviders(map, providers, [...names])
}

function replaceProviders(map: ConfigMap, providers: ExtensionProvider[], added: string[]): ConfigMap {
  const { extensionProviders: _before, ...others } = meshConfigIn(map)
  const mesh = { ...others, ...(providers.length === 0 ? {} : { extensionProviders: providers }) }
  const { [providersAnnotation]: _names, ...annotations } = map.metadata.annotations ?? {}
  return {
    ...map,
    metadata: {
      ...map.metadata,
      annotations: { ...annotations, ...(added.length === 0 ? {} : { [providersAnnotation]: added.join(',') }) },
    },
    data: { ...map.data, mesh: stringify(mesh) },
  }
}

/**
 * The providers that mesh-canary added to the live mesh config, after those that an installation would write; undefined
 * if it would lose none. istioctl replaces the list as a whole.
 */
export function providersToKeep(
  live: ConfigMap | undefined,
  rendered: ConfigMap | undefined,
): ExtensionProvider[] | undefined {
  const added = live ? addedNames(live) : []
  const written = rendered ? providersIn(rendered) : []
  const lost = (live ? providersIn(live) : []).filter(
    ({ name }) => added.includes(name) && !written.some((each) => each.name === name),
  )
  return lost.length > 0 ? [...written, ...lost] : undefined
}
