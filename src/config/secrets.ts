// What must not be shown or kept anywhere, leaf by leaf: whole values are masked too coarsely, lines of them too finely. Pure.
import { canariesOf } from './names.ts'
import type { Config } from './schema.ts'

/** The secrets that stand in the config itself; those of a kubeconfig are its own (cluster/connect.ts). */
export function secretsInConfig(config: Config): string[] {
  return [
    ...(config.token === undefined ? [] : [config.token]),
    ...(config.istio ? passwords(config.istio.mirror) : []),
    ...canariesOf(config).flatMap(({ prometheus, webhooks }) => [
      ...(prometheus?.token === undefined ? [] : [prometheus.token]),
      ...(prometheus?.address === undefined ? [] : inAddress(prometheus.address)),
      ...Object.values(webhooks).flatMap(({ url }) => inAddress(url)),
    ]),
  ]
}

/** Shorter ones are words of every text. */
const [shortestPassword, shortestToken] = [4, 8]

/** Chat services put their tokens into paths and queries: what is long there is taken for one. Each as it is, and as it stands in the address. */
function inAddress(address: string): string[] {
  const { search, pathname } = new URL(address)
  const values = search
    .slice(1)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1))
    .flatMap((value) => [...spellings(value), ...spellings(value.replaceAll('+', ' '))])
  const parts = pathname
    .split('/')
    .filter((part) => part.length >= 16)
    .flatMap(spellings)
  return [...new Set([...passwords(address), ...[...values, ...parts].filter((each) => each.length >= shortestToken)])]
}

/** A name without a password is a token. */
function passwords(address: string): string[] {
  const { username, password } = new URL(address)
  return [...new Set(spellings(password === '' ? username : password))].filter(
    (each) => each.length >= shortestPassword,
  )
}

function spellings(text: string): string[] {
  try {
    return [text, decodeURIComponent(text)]
  } catch {
    // A bare per cent sign.
    return [text]
  }
}
