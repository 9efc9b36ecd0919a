// Authorization: one AuthorizationPolicy for each rule, and one without rules for `defaultDeny`.
import type { KubeObject } from '../../cluster/objects.ts'
import { defaultDenyName } from '../../config/names.ts'
import type { Config } from '../../config/schema.ts'
import { object } from './names.ts'
import { defined } from './render.ts'

export function authorizationPolicies({ namespace, authorization }: Config): KubeObject[] {
  if (!authorization) return []
  const rules = Object.entries(authorization.rules).map(([name, rule]) => {
    const source = defined({ principals: rule.principals, namespaces: rule.namespaces })
    const operation = defined({ methods: rule.methods, paths: rule.paths, ports: rule.ports?.map(String) })
    return object('AuthorizationPolicy', namespace, name, {
      ...defined({ selector: rule.to && { matchLabels: rule.to } }),
      action: rule.action.toUpperCase(),
      rules: [{ ...defined({ from: source && [{ source }], to: operation && [{ operation }] }) }],
    })
  })
  // The deny comes last, because the run writes the objects in this order: allowed requests stay allowed meanwhile.
  return [
    ...rules,
    ...(authorization.defaultDeny ? [object('AuthorizationPolicy', namespace, defaultDenyName, {})] : []),
  ]
}
