// What pods may call: hosts outside the mesh, and how much of the mesh their sidecars know of.
import type { KubeObject } from '../../cluster/objects.ts'
import type { Config } from '../../config/schema.ts'
import { object } from './names.ts'

export function serviceEntries({ namespace, egress }: Config): KubeObject[] {
  return Object.entries(egress?.hosts ?? {}).map(([host, { port, protocol }]) =>
    object('ServiceEntry', namespace, entryName(host), {
      hosts: [host],
      location: 'MESH_EXTERNAL',
      ports: [{ number: port, name: `${protocol}-${port}`, protocol: protocol.toUpperCase() }],
      // The addresses behind a wildcard cannot be looked up: the connection goes where the application sends it.
      resolution: host.startsWith('*') ? 'NONE' : 'DNS',
      exportTo: ['.'],
    }),
  )
}

/** `*.example.com` and `example.com` are two hosts, and two names. */
function entryName(host: string): string {
  return `egress-${host.replace('*', 'any').replaceAll('.', '-')}`
}

/** A namespace has one Sidecar without a selector: what it may reach and what it knows of stand in it together. */
export function sidecars({ namespace, egress, scope }: Config): KubeObject[] {
  if (!egress?.mode && !scope) return []
  const mode = egress?.mode && { outboundTrafficPolicy: { mode: egress.mode.toUpperCase().replace('-', '_') } }
  return [object('Sidecar', namespace, 'default', { egress: [{ hosts: scope?.hosts ?? ['*/*'] }], ...mode })]
}
