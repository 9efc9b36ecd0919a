// Finds the secrets in a config, which no line, report or file may show. Pure.
import { allCanariesOf } from './names.ts'
import type { Config } from './schema.ts'

/** Each secret as a string of its own. The secrets of the kubeconfig are found in cluster/connect.ts. */
export function secretsInConfig(config: Config): string[] {
  return [
    ...[config.token, config.githubToken].flatMap((token) => token ?? []),
    ...[config.istio, config.cluster].flatMap((tool) => (tool ? secretsInMirror(tool.mirror) : [])),
    ...Object.values(config.jwt ?? {}).flatMap(({ jwksUri }) =>
      jwksUri === undefined ? [] : secretsInMirror(jwksUri),
    ),
    ...secretsOfObservability(config),
    ...[config.edge?.tyk.secret, config.edge?.tyk.probe.key].flatMap((secret) => secret ?? []),
    ...allCanariesOf(config).flatMap(({ prometheus, webhooks }) => [
      ...(prometheus?.token === undefined ? [] : [prometheus.token]),
      ...(prometheus?.address === undefined ? [] : secretsInAddress(prometheus.address)),
      ...Object.values(webhooks).flatMap(({ url }) => secretsInAddress(url)),
    ]),
  ]
}

function secretsOfObservability({ observability }: Config): string[] {
  const { address, token } = observability?.metrics?.prometheus ?? {}
  const { dashboards, traces, logs } = observability ?? {}
  const grafana = dashboards?.grafana
  const queries = [traces?.query, logs?.query].filter((each) => each?.includes('://'))
  return [
    ...(token === undefined ? [] : [token]),
    ...(grafana ? [grafana.token] : []),
    ...[address, grafana?.url, logs?.endpoint, ...queries].flatMap((each) =>
      each === undefined ? [] : secretsInAddress(each),
    ),
  ]
}

/** Shorter strings also occur in ordinary text. */
const minPasswordLength = 4
const minTokenLength = 8

/** The password and the query: the path of a mirror only has long names. */
function secretsInMirror(address: string): string[] {
  return [...passwords(address), ...secretsInQuery(address)]
}

/**
 * Chat services put their tokens into paths and queries, so long parts count as tokens.
 * Each token is returned decoded, and as it is spelt in the address.
 */
function secretsInAddress(address: string): string[] {
  const parts = new URL(address).pathname
    .split('/')
    .filter((part) => part.length >= 16)
    .flatMap(spellings)
  return [...new Set([...passwords(address), ...secretsInQuery(address), ...parts])]
}

function secretsInQuery(address: string): string[] {
  const values = new URL(address).search
    .slice(1)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1))
    .flatMap((value) => [...spellings(value), ...spellings(value.replaceAll('+', ' '))])
  return [...new Set(values)].filter((each) => each.length >= minTokenLength)
}

/** A user name without a password is a token. */
function passwords(address: string): string[] {
  const { username, password } = new URL(address)
  return [...new Set(spellings(password === '' ? username : password))].filter(
    (each) => each.length >= minPasswordLength,
  )
}

function spellings(text: string): string[] {
  try {
    return [text, decodeURIComponent(text)]
  } catch {
    // The text has a bare per cent sign.
    return [text]
  }
}
