// Reads from `istioctl proxy-status`, which asks istiod, whether the proxies are in sync.
import { runProgram } from '../tools/run.ts'

/** `args`: the arguments for the connection to the cluster, and for the revision of the control plane. */
export type IstioctlAccess = { path: string; args: string[]; signal: AbortSignal }

/** Maps `pod.namespace` to why the proxy is out of sync, or to undefined if it is in sync. */
export type ProxyStatus = ReadonlyMap<string, string | undefined>

/** Undefined if istioctl fails. */
export async function readProxyStatus(
  { path, args, signal }: IstioctlAccess,
  namespace: string,
): Promise<ProxyStatus | undefined> {
  const { code, stdout } = await runProgram(
    path,
    ['proxy-status', '--namespace', namespace, '-o', 'json', ...args],
    signal,
  )
  return code === 0 ? proxyStatusOf(stdout) : undefined
}

type XdsConfig = { typeUrl?: string; configStatus?: string; errorState?: { details?: string } }
type StatusDocument = { resources?: { node?: { id?: string }; genericXdsConfigs?: XdsConfig[] }[] }

/** The text may hold several JSON documents, one for each istiod. */
export function proxyStatusOf(text: string): ProxyStatus {
  const configs = documentsIn(text).flatMap((each) => (each as StatusDocument).resources ?? [])
  return new Map(
    configs.map(({ node, genericXdsConfigs = [] }) => {
      const bad =
        genericXdsConfigs.find(({ configStatus }) => configStatus === 'ERROR') ??
        genericXdsConfigs.find(({ configStatus }) => configStatus === 'STALE')
      return [node?.id ?? '', bad && causeOfStatus(bad)] as const
    }),
  )
}

function causeOfStatus({ typeUrl, configStatus, errorState }: XdsConfig): string {
  const kind = typeUrl?.split('.').at(-1) ?? 'configuration'
  return configStatus === 'ERROR'
    ? `Envoy rejected its ${kind}: ${errorState?.details ?? 'no reason given'}`
    : `its ${kind} is older than what istiod sent`
}

/** istioctl prints JSON documents one after the other, each starting and ending in the first column. */
function documentsIn(text: string): unknown[] {
  const parts = text
    .split(/^(?=[{[])/m)
    .map((part) => part.trim())
    .filter(Boolean)
  return parts.flatMap((part): unknown[] => {
    try {
      const parsed: unknown = JSON.parse(part)
      return Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]
    } catch {
      return []
    }
  })
}
