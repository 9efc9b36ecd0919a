// Contradictions in the section `expose`, and with the policies of the exposed services.
import { canariesOf, servicesOf } from '../names.ts'
import type { Config, Exposure, ServicePolicy } from '../schema.ts'
import { withPrefix, type Fault } from './fault.ts'

export function exposeFaults(config: Config): Fault[] {
  return Object.entries(config.expose ?? {}).flatMap(([name, exposure]) =>
    withPrefix(
      ['expose', name],
      [
        ...redirectFaults(exposure),
        ...(exposure.api === 'istio'
          ? gatewayLabelFaults(exposure)
          : gatewayApiFaults(exposure, servicesOf(config)[name] ?? {}, hasCanary(config, name))),
        ...hostFaults(config, name),
      ],
    ),
  )
}

function hasCanary(config: Config, name: string): boolean {
  return canariesOf(config).some(({ service }) => service === name)
}

function redirectFaults({ tls, httpsRedirect }: Exposure): Fault[] {
  if (!httpsRedirect || tls) return []
  return [{ path: ['httpsRedirect'], message: 'there is no HTTPS to redirect to; set `tls` with its `secret`' }]
}

function gatewayLabelFaults({ gateway }: Exposure): Fault[] {
  if (!gateway.includes('/')) return []
  const message =
    `${gateway} is not a label value; write the value of the label \`istio\` of the gateway's pods, ` +
    'such as ingressgateway'
  return [{ path: ['gateway'], message }]
}

/** An HTTPRoute splits traffic between Services, not between subsets. */
function gatewayApiFaults({ tls }: Exposure, service: ServicePolicy, isCanary: boolean): Fault[] {
  const needSubsets = (['traffic', 'routes', 'mirror', 'fault', 'retries'] as const).filter((key) => service[key])
  const unsupported = isCanary ? 'a canary' : needSubsets.map((key) => `\`${key}\``).join(', ')
  return [
    ...(tls
      ? [
          {
            path: ['tls'],
            message: 'with `api: gateway-api`, the certificate belongs to the Gateway object; remove it here',
          },
        ]
      : []),
    ...(unsupported === ''
      ? []
      : [
          {
            path: ['api'],
            message:
              `an HTTPRoute has no subsets, so it does not support ${unsupported} of the service; ` +
              'use `api: istio`',
          },
        ]),
  ]
}

/** A gateway serves each host for one service. */
function hostFaults({ expose = {} }: Config, name: string): Fault[] {
  const { hosts, gateway } = expose[name]!
  const earlier = Object.entries(expose).slice(0, Object.keys(expose).indexOf(name))
  return hosts.flatMap((host) => {
    const other = earlier.find(([, each]) => each.gateway === gateway && each.hosts.includes(host))
    if (!other) return []
    const message = `the host ${host} belongs to ${other[0]} on the same gateway; give each service its own host`
    return [{ path: ['hosts'], message }]
  })
}
