// The arguments of an analysis, whose values are written into the queries.
import type { Field } from '../ledger.ts'
import { ourVariables } from '../values.ts'

/** The value of each argument by name; undefined for one that only the controller knows. */
export type Args = ReadonlyMap<string, string | undefined>

/** Those of the template, replaced by those of the Rollout. `root`: the Rollout. */
export function argsOf(ofTemplate: readonly Field[], given: readonly Field[], root: Field): Args {
  const args = new Map<string, string | undefined>()
  for (const arg of [...ofTemplate, ...given]) {
    const value = valueOf(arg, root)
    const name = arg.get('name').text() ?? ''
    // A template names an argument without a value that the Rollout has to give.
    if (value !== undefined || !args.has(name)) args.set(name, value)
  }
  return args
}

function valueOf(arg: Field, root: Field): string | undefined {
  const value = arg.get('value')
  if (value.given) return ourVariables.test(String(value.value)) ? undefined : String(value.value)
  const path = arg.get('valueFrom', 'fieldRef', 'fieldPath').text()
  if (path === 'metadata.namespace') return '$namespace'
  const label = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path ?? '')
  if (label) return root.get('metadata', label[1]!, label[2]!).text()
  return path === 'metadata.name' ? root.object.name : undefined
}

/** The text with the values, or the first argument without one. */
export function withArgs(text: string, args: Args): { text: string } | { missing: string } {
  let missing: string | undefined
  const written = text.replace(/\{\{\s*(.*?)\s*\}\}/g, (template, expression: string) => {
    const name = /^(?:inputs\.)?args\.(.+)$/.exec(expression)?.[1]
    const value = name === undefined ? undefined : args.get(name)
    missing ??= value === undefined ? template : undefined
    return value ?? ''
  })
  return missing === undefined ? { text: written } : { missing }
}
