// Contradictions in the section `edge`, and with the exposed services.
import { exposedThroughTyk, tykHost, tykTarget } from '../edge.ts'
import type { Config, Exposure } from '../schema.ts'
import { withPrefix, type Fault } from './fault.ts'

export function edgeFaults(config: Config): Fault[] {
  // A definition that is to be removed leads nowhere.
  if (!config.edge?.tyk.enabled) return []
  return withPrefix(['edge', 'tyk'], tykFaults(config))
}

function tykFaults(config: Config): Fault[] {
  const { service } = config.edge!.tyk
  const names = Object.keys(config.expose ?? {})
  const exposed = exposedThroughTyk(config)
  if (!exposed) {
    const known = names.length === 0 ? '`expose` has no service' : `\`expose\` has ${names.join(', ')}`
    const message = service === undefined ? `${known}; name one` : `${service} is not exposed: ${known}`
    return [{ path: ['service'], message }]
  }
  return [...placeFaults(config, exposed.exposure), ...targetFaults(config, exposed.exposure)]
}

/** Where Tyk listens, and for which host the gateway gets the requests. */
function placeFaults(config: Config, { hosts }: Exposure): Fault[] {
  const { listenPath, domain } = config.edge!.tyk
  const host = tykHost(config)
  const isCovered = hosts.some((each) => covers(each, host))
  return [
    ...(/^\/\/|[?#]/.test(listenPath)
      ? [
          {
            path: ['listenPath'],
            message: 'expected a path such as /shop/, without a query and without // at its start',
          },
        ]
      : []),
    ...(isCovered
      ? []
      : [
          {
            path: [domain === undefined ? 'url' : 'domain'],
            message: `the gateway has no route for ${host}, which is the host of users' requests; expose it, or use one of ${hosts.join(', ')}`,
          },
        ]),
  ]
}

function targetFaults(config: Config, exposure: Exposure): Fault[] {
  const target = tykTarget(config)
  if (target === undefined) {
    const message =
      'no address is known at which Tyk reaches this gateway; set it, such as https://shop.example.com where Tyk resolves ' +
      'that name to the gateway'
    return [{ path: ['target'], message }]
  }
  const { protocol, hostname } = new URL(target)
  const { tls, httpsRedirect, hosts } = exposure
  if (protocol === 'http:' && tls && httpsRedirect !== false)
    return [{ path: ['target'], message: 'the gateway redirects plain HTTP to HTTPS; write an https address' }]
  if (protocol === 'https:' && !hosts.some((host) => covers(host, hostname)))
    return [
      {
        path: ['target'],
        message: `the gateway has no certificate for ${hostname}; use one of the exposed hosts: ${hosts.join(', ')}`,
      },
    ]
  return []
}

function covers(host: string, name: string): boolean {
  return host === '*' || host === name || (host.startsWith('*.') && name.endsWith(host.slice(1)))
}
