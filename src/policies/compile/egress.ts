// ServiceEntries for hosts outside the mesh, and the Sidecar that limits which services the proxies know.
import type { KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import { object } from './names.ts'

export function serviceEntries({ namespace, egress }: Config): KubeObject[] {
  return Object.entries(egress?.hosts ?? {}).map(([host, { port, protocol }]) =>
    object('ServiceEntry', namespace, entryName(host), {
      hosts: [host],
      location: 'MESH_EXTERNAL',
      ports: [{ number: port, name: `${protocol}-${port}`, protocol: protocol.toUpperCase() }],
      // Nobody can resolve a wildcard, so the proxy connects to the address that the application chose.
      resolution: host.startsWith('*') ? 'NONE' : 'DNS',
      exportTo: ['.'],
    }),
  )
}

/** `*.example.com` and `example.com` are different hosts, so they get different names. */
function entryName(host: string): string {
  return `egress-${host.replace('*', 'any').replaceAll('.', '-')}`
}

/** A namespace can have only one Sidecar without a selector, so it holds both the egress mode and the scope. */
export function sidecars({ namespace, egress, scope }: Config): KubeObject[] {
  if (!egress?.mode && !scope) return []
  const mode = egress?.mode && { outboundTrafficPolicy: { mode: egress.mode.toUpperCase().replace('-', '_') } }
  return [object('Sidecar', namespace, 'default', { egress: [{ hosts: scope?.hosts ?? ['*/*'] }], ...mode })]
}
