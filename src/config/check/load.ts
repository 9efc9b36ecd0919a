// Whether the run can send requests to a service itself: through its gateway, in plain HTTP. Pure.
import type { Config } from '../schema.ts'
import type { Fault } from './fault.ts'

/** `service`: its `load` is set. */
export function loadFaults({ expose }: Config, service: string): Fault[] {
  const path = ['load']
  const exposure = expose?.[service]
  if (exposure?.api !== 'istio')
    return [
      {
        path,
        message: `needs a gateway; expose ${service} under \`expose\` with \`api: istio\`, or remove \`load\``,
      },
    ]
  const redirects = exposure.tls && exposure.httpsRedirect !== false
  if (!redirects) return []
  const message =
    `uses plain HTTP, and ${service} redirects it to HTTPS; ` +
    `set \`expose.${service}.httpsRedirect: false\`, or remove \`load\``
  return [{ path, message }]
}
