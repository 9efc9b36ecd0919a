// What must not be shown or kept anywhere, leaf by leaf: whole values are masked too coarsely, lines of them too finely. Pure.
import { canariesOf } from './config/names.ts'
import type { Config } from './config/schema.ts'

/** The secrets that stand in the config itself; those of a kubeconfig are its own (cluster/connect.ts). */
export function secretsIn(config: Config): string[] {
  return canariesOf(config).flatMap(({ prometheus, webhooks }) => [
    ...(prometheus?.token === undefined ? [] : [prometheus.token]),
    ...(prometheus?.address === undefined ? [] : inAddress(prometheus.address)),
    ...Object.values(webhooks).flatMap(({ url }) => inAddress(url)),
  ])
}

/** Chat services put their tokens into paths and queries: what is long there is taken for one. */
function inAddress(address: string): string[] {
  const { password, searchParams, pathname } = new URL(address)
  const parts = [decodeURIComponent(password), ...searchParams.values(), ...pathname.split('/').filter((part) => part.length >= 16)]
  return parts.filter((part) => part.length >= 8)
}

/** Replaces the secrets in every text inside a value. */
export function hider(secrets: readonly string[]): <T>(value: T) => T {
  const longestFirst = [...new Set(secrets)].filter(Boolean).sort((a, b) => b.length - a.length)
  const hide = (value: unknown): unknown => {
    if (typeof value === 'string') return longestFirst.reduce((text, secret) => text.replaceAll(secret, '***'), value)
    if (Array.isArray(value)) return value.map(hide)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, hide(each)]))
  }
  return longestFirst.length === 0 ? (value) => value : (hide as <T>(value: T) => T)
}
