// Finds hosts of ours that an older object already serves at the same gateway pods: Istio gives a request to the older
// of two servers with TLS, and to the older of two routes for one domain that take it. Reads what the account may read.
import { isDeepStrictEqual } from 'node:util'
import { isOlder } from '../../cluster/age.ts'
import type { Cluster } from '../../cluster/client.ts'
import { keyOf, kindOf, titleOf, type HttpRoute, type KubeObject } from '../../cluster/objects.ts'
import { listReadableEverywhere } from '../../cluster/readable.ts'
import type { Config } from '../../config/schema.ts'
import { configKeyOf } from '../config-keys.ts'
import { isHiddenBy } from './hidden-routes.ts'
import { gatewaysOf, hostsOf, isForSidecarsOnly, meshGateway } from '../merge/merge-hosts.ts'
import { isOf, type Owner } from '../owned-objects.ts'
import { matchesHost } from '../routes.ts'

type Server = { port?: { number?: number }; hosts?: string[]; tls?: object }
type Gateway = KubeObject & { spec: { selector?: Record<string, string>; servers?: Server[] } }
type Routes = KubeObject & { spec?: Record<string, unknown> }
type Live = { gateways: Gateway[]; routes: Routes[] }

/** One sentence for each host that an older object of somebody else serves. */
export async function olderGatewayFaults(
  cluster: Cluster,
  objects: readonly KubeObject[],
  config: Config,
  owner: Owner,
): Promise<string[]> {
  const gateways = objects.filter((object): object is Gateway => kindOf(object) === 'Gateway')
  const routes = objects.filter(({ kind }) => kind === 'VirtualService').filter((object) => !isForSidecarsOnly(object))
  if (gateways.length === 0 && routes.length === 0) return []
  const [{ objects: liveGateways }, { objects: liveRoutes }] = await Promise.all([
    listReadableEverywhere<Gateway>(cluster, 'Gateway', [config.namespace]),
    listReadableEverywhere<Routes>(cluster, 'VirtualService', [config.namespace]),
  ])
  const others = { gateways: liveGateways.filter(isOther), routes: liveRoutes.filter(isOther) }
  const all = { gateways: [...others.gateways, ...gateways], routes: [...liveGateways, ...liveRoutes] as Routes[] }
  const liveOf = (ours: KubeObject) => all.routes.find((each) => keyOf(each) === keyOf(ours)) ?? ours
  const older = (ours: KubeObject, theirs: KubeObject) => isOlder(theirs, liveOf(ours))
  return [
    ...gateways.flatMap((ours) =>
      serverFaults(ours, others, older).map((fault) => `${hostsKey(config, ours)}: ${fault}`),
    ),
    ...routes.flatMap((ours) =>
      routeFaults(ours, others, all.gateways, older).map((fault) => `${hostsKey(config, ours)}: ${fault}`),
    ),
  ]

  function isOther(object: KubeObject): boolean {
    return !isOf(owner, object) && !objects.some((ours) => keyOf(ours) === keyOf(object))
  }
}

type IsOlder = (ours: KubeObject, theirs: KubeObject) => boolean

function hostsKey(config: Config, object: KubeObject): string {
  const key = configKeyOf(config, object)
  return key?.startsWith('expose.') ? `${key}.hosts` : 'policies'
}

/** Servers with TLS: of two for one host and port, the gateway has the older one only. */
function serverFaults(ours: Gateway, { gateways }: Live, older: IsOlder): string[] {
  return gateways
    .filter((theirs) => older(ours, theirs) && haveSamePods(ours, theirs))
    .flatMap((theirs) =>
      sharedServers(ours, theirs)
        .filter(({ hasTls }) => hasTls)
        .map(
          ({ host, port }) =>
            `the ${titleOf(theirs)} is older and already serves the host ${host} on port ${port} of the same gateway, ` +
            `so it ignores the ${titleOf(ours)} there; choose another host, or remove it from that Gateway`,
        ),
    )
}

function routeFaults(ours: Routes, live: Live, gateways: Gateway[], older: IsOlder): string[] {
  const candidates = live.routes.filter((theirs) => older(ours, theirs) && !isForSidecarsOnly(theirs))
  return candidates.flatMap((theirs) => {
    const host = sharedDomain(ours, theirs, gateways)
    if (host === undefined) return []
    const hidden = httpOf(ours).findIndex((route) => httpOf(theirs).some((other) => isHiddenBy(route, other)))
    if (hidden < 0) return []
    return [
      `the ${titleOf(theirs)} is older and already serves the host ${host} at the same gateway: it gets the requests ` +
        `of http route ${hidden + 1} of the ${titleOf(ours)}; choose another host, or remove it from that VirtualService`,
    ]
  })
}

function httpOf({ spec }: Routes): HttpRoute[] {
  return (spec?.['http'] ?? []) as HttpRoute[]
}

/**
 * A domain that both have on one port of the same pods. The gateway follows the most specific domain of a request, so
 * routes for all hosts hide none for one host.
 */
function sharedDomain(ours: Routes, theirs: Routes, gateways: Gateway[]): string | undefined {
  const named = (name: string) => gateways.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === name)
  const pairs = gatewayNames(ours).flatMap((a) => gatewayNames(theirs).map((b) => [a, b] as const))
  for (const [a, b] of pairs) {
    const [first, second] = [named(a), named(b)]
    const meet = a === b || (first !== undefined && second !== undefined && haveSamePods(first, second))
    const others = meet ? domainsAt(second, theirs) : []
    const shared = domainsAt(first, ours).find((each) => others.some((other) => isDeepStrictEqual(each, other)))
    if (shared) return shared.host
  }
  return undefined
}

function gatewayNames({ spec, metadata }: Routes): string[] {
  return gatewaysOf(spec, metadata.namespace ?? '').filter((name) => name !== meshGateway)
}

type Domain = { host: string; port: number | undefined }

/** What the hosts of the routes have in common with those of the Gateway, if the account may read it. */
function domainsAt(gateway: Gateway | undefined, { spec }: Routes): Domain[] {
  const hosts = hostsOf(spec)
  if (!gateway) return hosts.map((host) => ({ host, port: undefined }))
  return (gateway.spec.servers ?? []).flatMap(({ port, hosts: served = [] }) =>
    served
      .flatMap((each) => hosts.flatMap((host) => narrower(withoutNamespace(each), host) ?? []))
      .map((host) => ({ host, port: port?.number })),
  )
}

/** The more specific one of two hosts, if it is a part of the other one. */
function narrower(a: string, b: string): string | undefined {
  if (matchesHost(a, b)) return b
  return matchesHost(b, a) ? a : undefined
}

function haveSamePods({ spec: { selector: a = {} } }: Gateway, { spec: { selector: b = {} } }: Gateway): boolean {
  const shared = Object.keys(a).filter((label) => label in b)
  return shared.length > 0 && shared.every((label) => a[label] === b[label])
}

type SharedServer = { host: string; port: number | undefined; hasTls: boolean }

function sharedServers(ours: Gateway, theirs: Gateway): SharedServer[] {
  return (ours.spec.servers ?? []).flatMap((a) =>
    (theirs.spec.servers ?? [])
      .filter((b) => a.port?.number === b.port?.number)
      .flatMap((b) => {
        const others = (b.hosts ?? []).map(withoutNamespace)
        const hosts = (a.hosts ?? []).map(withoutNamespace).filter((host) => others.includes(host))
        const hasTls = a.tls !== undefined || b.tls !== undefined
        return hosts.map((host) => ({ host, port: a.port?.number, hasTls }))
      }),
  )
}

/** Hosts of a server may say to which namespace they belong: `./shop.example.com`. */
function withoutNamespace(host: string): string {
  return host.slice(host.indexOf('/') + 1)
}
