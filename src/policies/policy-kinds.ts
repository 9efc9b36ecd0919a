// The kinds of policies.
import type { Kind } from '../cluster/objects.ts'

/** The kinds that the user's files may hold, and that a run may delete when its config no longer asks for them. */
export const policyKinds = [
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'ServiceEntry',
  'WorkloadEntry',
  'WorkloadGroup',
  'Sidecar',
  'Gateway',
  'Gateway.gateway.networking.k8s.io',
  'Telemetry',
  'EnvoyFilter',
  'ProxyConfig',
  'WasmPlugin',
  'TrafficExtension',
  'DestinationRule',
  'VirtualService',
  'HTTPRoute',
  'GRPCRoute',
] as const satisfies Kind[]
