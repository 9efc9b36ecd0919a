// Whether an address means the machine that uses it, so that it leads elsewhere on another one. Pure.
import { isIP } from 'node:net'

/** `hostname`: of a URL. Loopback, any address, and the names by which containers reach their host. */
export function isLocalHost(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (isIP(host) === 4) return host.startsWith('127.') || host === '0.0.0.0'
  return /^(::1?|localhost|host\.docker\.internal)$|\.localhost$/.test(host)
}

/** `url`: what is no URL is not local. */
export function isLocalUrl(url: string): boolean {
  return URL.canParse(url) && isLocalHost(new URL(url).hostname)
}
