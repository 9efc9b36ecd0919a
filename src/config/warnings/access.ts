// Warnings about `authorization` and `jwt`: rules that probably refuse more than intended.
import type { Config } from '../schema.ts'

/** Istio applies a deny rule with HTTP conditions to ports of other protocols without those conditions. */
const refusesOtherPorts = 'ports that do not speak HTTP then refuse all requests; set `ports` to the ports that do'

export function authorizationWarnings(authorization: Config['authorization']): string[] {
  if (!authorization) return []
  const rules = Object.entries(authorization.rules)
  const denying = rules.filter(([, { action }]) => action === 'deny')
  const withoutPorts = denying.filter(([, { ports, methods, paths }]) => (methods ?? paths) && !ports)
  const unconditional = denying.filter(
    ([, { principals, namespaces, methods, paths, ports }]) => !(principals ?? namespaces ?? methods ?? paths ?? ports),
  )
  const allowsNothing = authorization.defaultDeny && denying.length === rules.length
  return [
    ...withoutPorts.map(
      ([name]) => `authorization.rules.${name}: the rule denies by methods or paths, and ${refusesOtherPorts}`,
    ),
    ...unconditional.map(
      ([name]) =>
        `authorization.rules.${name}: the rule has no condition, so it denies all requests; ` +
        'add principals, namespaces, methods, paths or ports',
    ),
    ...(allowsNothing
      ? [
          'authorization.defaultDeny: no rule allows anything, so the namespace refuses all requests; ' +
            'add rules with `action: allow`',
        ]
      : []),
  ]
}

export function tokenWarnings(jwt: NonNullable<Config['jwt']>): string[] {
  return Object.entries(jwt)
    .filter(([, { required, ports }]) => required && !ports)
    .map(([name, { selector }]) => {
      const pods = selector ? 'the selected pods' : 'every pod of the namespace'
      return `jwt.${name}: a token is required on every port of ${pods}, and ${refusesOtherPorts}`
    })
}
