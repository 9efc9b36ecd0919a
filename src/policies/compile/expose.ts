// Services that are exposed through a gateway. The gateway gets its own VirtualService with the same routes as the one
// for the mesh (docs/decisions/0004). A promotion moves the weights in both.
import type { KubeObject } from '../../cluster/objects.ts'
import { routeName, servicesOf } from '../../config/names.ts'
import type { Config, Exposure, ServicePolicy } from '../../config/schema.ts'
import { httpRoutes } from './http.ts'
import { gatewayOf, hostOf, object, type LiveWeights } from './names.ts'
import { defined, seconds } from './render.ts'

export function exposures(config: Config, live: LiveWeights, now: number): KubeObject[] {
  const services = servicesOf(config)
  return Object.entries(config.expose ?? {}).flatMap(([name, exposure]) => {
    const port = exposure.port ?? services[name]?.port
    const service = { ...services[name], ...defined({ port }) }
    if (exposure.api === 'gateway-api') return [httpRoute(name, config.namespace, exposure, service)]
    return [gateway(name, config.namespace, exposure), gatewayRoutes(name, config, exposure, service, live, now)]
  })
}

function gateway(
  name: string,
  namespace: string,
  { hosts: hostNames, tls, httpsRedirect, gateway: label }: Exposure,
): KubeObject {
  // `./` binds only VirtualServices of this namespace.
  const hosts = hostNames.map((host) => `./${host}`)
  const http = {
    port: { number: 80, name: 'http', protocol: 'HTTP' },
    hosts,
    ...(tls && { tls: { httpsRedirect: true } }),
  }
  const https = tls && {
    port: { number: 443, name: 'https', protocol: 'HTTPS' },
    hosts,
    tls: { mode: 'SIMPLE', credentialName: tls.secret },
  }
  return object('Gateway', namespace, gatewayOf(name), {
    selector: { istio: label },
    servers: [...(tls && httpsRedirect === false ? [] : [http]), ...(https ? [https] : [])],
  })
}

function gatewayRoutes(
  name: string,
  config: Config,
  { hosts }: Exposure,
  service: ServicePolicy,
  live: LiveWeights,
  now: number,
): KubeObject {
  const { namespace } = config
  const destination = {
    host: hostOf(name, namespace),
    ...defined({ port: service.port === undefined ? undefined : { number: service.port } }),
  }
  const http = httpRoutes(name, service, config, live, now) ?? [{ name: routeName, route: [{ destination }] }]
  return object('VirtualService', namespace, gatewayOf(name), {
    hosts,
    gateways: [`${namespace}/${gatewayOf(name)}`],
    http,
  })
}

/**
 * The Gateway API splits traffic between Services, not subsets. The config's checks refuse policies that need subsets
 * (src/config/check/expose.ts).
 */
function httpRoute(
  name: string,
  namespace: string,
  { hosts, gateway }: Exposure,
  { port, timeout }: ServicePolicy,
): KubeObject {
  const [parent, parentNamespace] = gateway.split('/').reverse() as [string, string?]
  const hostnames = hosts.includes('*') ? undefined : hosts
  return object('HTTPRoute', namespace, name, {
    parentRefs: [{ name: parent, ...defined({ namespace: parentNamespace }) }],
    ...defined({ hostnames }),
    rules: [
      {
        backendRefs: [{ name, ...defined({ port }) }],
        ...(timeout === undefined ? {} : { timeouts: { request: seconds(timeout) } }),
      },
    ],
  })
}
