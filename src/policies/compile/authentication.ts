// Authentication of callers: mutual TLS between pods, and JSON Web Tokens of users.
import type { KubeObject } from '../../cluster/objects.ts'
import { requiredName } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { object } from './names.ts'
import { defined } from './render.ts'

export function peerAuthentications({ namespace, mtls }: Config): KubeObject[] {
  if (!mtls) return []
  const exceptions = Object.entries(mtls.workloads).map(([name, { selector, mode, ports }]) => {
    const levels = Object.entries(ports).map(([port, mode]) => [port, tls(mode)])
    return object('PeerAuthentication', namespace, name, {
      selector: { matchLabels: selector },
      ...defined({
        mtls: mode && tls(mode),
        portLevelMtls: levels.length > 0 ? (Object.fromEntries(levels) as object) : undefined,
      }),
    })
  })
  return [
    ...(mtls.mode ? [object('PeerAuthentication', namespace, 'default', { mtls: tls(mtls.mode) })] : []),
    ...exceptions,
  ]
}

function tls(mode: string): { mode: string } {
  return { mode: mode.toUpperCase() }
}

/**
 * The RequestAuthentication refuses an invalid token. Only the AuthorizationPolicy refuses a request without a token.
 */
export function requestAuthentications({ namespace, jwt = {} }: Config): KubeObject[] {
  return Object.entries(jwt).flatMap(
    ([name, { issuer, jwksUri, jwks, audiences, selector: labels, required, ports }]) => {
      const selector = labels && { selector: { matchLabels: labels } }
      const rule = { issuer, ...defined({ audiences, jwksUri, jwks }), forwardOriginalToken: true }
      const missing = {
        from: [{ source: { notRequestPrincipals: ['*'] } }],
        ...(ports && { to: [{ operation: { ports: ports.map(String) } }] }),
      }
      const refusal = object('AuthorizationPolicy', namespace, requiredName(name), {
        ...selector,
        action: 'DENY',
        rules: [missing],
      })
      return [
        object('RequestAuthentication', namespace, name, { ...selector, jwtRules: [rule] }),
        ...(required ? [refusal] : []),
      ]
    },
  )
}
