// Which proxy a request goes through, by the variables that curl, Go and istioctl read: HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY, in either case. Pure.
import { BlockList, isIP } from 'node:net'
import { isLocalHost } from './local-address.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The proxy's address; undefined for a direct request. An address without a scheme is one of http. */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  const proxy = variable(env, `${scheme}_proxy`)
  if (proxy === undefined || isLocalHost(url.hostname) || bypasses(url, variable(env, 'no_proxy') ?? ''))
    return undefined
  return /^\w+:\/\//.test(proxy) ? proxy : `http://${proxy}`
}

function variable(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || env[name.toUpperCase()]?.trim() || undefined
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '').toLowerCase()
}

/** `list`: names with all names below them, addresses, networks such as 10.0.0.0/8, each with or without a port, or *. */
function bypasses(url: URL, list: string): boolean {
  const host = hostOf(url)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      if (entry === '*') return true
      if (entry.includes('/')) return isIn(host, entry)
      const [, name = entry, ownPort] = /^(.*[^:]):(\d+)$/.exec(isIP(entry) === 6 ? '' : entry) ?? []
      if (ownPort !== undefined && ownPort !== port) return false
      return isSameOrBelow(host, name.replace(/^\[|\]$/g, ''))
    })
}

function isSameOrBelow(host: string, entry: string): boolean {
  const name = entry.replace(/^\*?\./, '')
  return host.endsWith(`.${name}`) || (host === name && !/^\*?\./.test(entry))
}

function isIn(host: string, network: string): boolean {
  const [address = '', bits] = network.split('/')
  const [family, ofHost] = [isIP(address), isIP(host)]
  if (family === 0 || family !== ofHost || !/^\d+$/.test(bits ?? '')) return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  if (Number(bits) > (family === 4 ? 32 : 128)) return false
  const block = new BlockList()
  block.addSubnet(address, Number(bits), type)
  return block.check(host, type)
}
