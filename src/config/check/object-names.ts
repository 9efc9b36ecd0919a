// Sections that would write two objects with the same kind and name.
import { defaultDenyName, requiredName } from '../names.ts'
import type { Config } from '../schema.ts'
import type { Fault } from './fault.ts'

export function objectNameFaults({ mtls, authorization, jwt = {} }: Config): Fault[] {
  const rules = authorization?.rules ?? {}
  const reservedRules: [name: string, writer: string][] = [
    [defaultDenyName, 'defaultDeny'],
    ...Object.keys(jwt).map((name): [string, string] => [requiredName(name), `jwt.${name}`]),
  ]
  return [
    ...(mtls?.workloads['default']
      ? [
          {
            path: ['mtls', 'workloads', 'default'],
            message: 'default is the name of the policy of the whole namespace; choose another name',
          },
        ]
      : []),
    ...reservedRules
      .filter(([name]) => rules[name])
      .map(([name, writer]) => ({
        path: ['authorization', 'rules', name],
        message: `${name} is the name of the policy that \`${writer}\` writes; choose another name`,
      })),
  ]
}
