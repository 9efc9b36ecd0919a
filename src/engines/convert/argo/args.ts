// The arguments of an analysis, whose values are written into the queries.
import type { Field } from '../ledger.ts'
import { variableIn } from '../values.ts'

type Value = { text: string } | { why: string }

/** The value of each argument by name. */
export type Args = ReadonlyMap<string, Value>

/** Those of the template, replaced by those of the Rollout. `root`: the Rollout. */
export function argsOf(ofTemplate: readonly Field[], given: readonly Field[], root: Field): Args {
  const args = new Map<string, Value>()
  for (const arg of [...ofTemplate, ...given]) {
    const name = arg.get('name').text() ?? ''
    // One that the Rollout only names keeps the default of the template.
    if (arg.get('value').given || arg.get('valueFrom').given || !args.has(name)) args.set(name, valueOf(arg, root))
  }
  return args
}

function valueOf(arg: Field, root: Field): Value {
  const value = arg.get('value')
  if (value.given) return literal(String(value.value))
  const text = fieldOf(arg, root)
  return text === undefined ? { why: 'whose value only the controller knows' } : { text }
}

/** A text that looks like a variable of ours would be replaced. */
function literal(text: string): Value {
  const variable = variableIn(text)
  return variable === undefined ? { text } : { why: `whose value has \`${variable}\`, a variable of mesh-canary` }
}

function fieldOf(arg: Field, root: Field): string | undefined {
  const path = arg.get('valueFrom', 'fieldRef', 'fieldPath').text()
  if (path === 'metadata.namespace') return '$namespace'
  const label = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path ?? '')
  if (label) return root.get('metadata', label[1]!, label[2]!).text()
  return path === 'metadata.name' ? root.object.name : undefined
}

/** The text with the values, or why there is none. */
export function withArgs(text: string, args: Args): Value {
  let missing: string | undefined
  const written = text.replace(/\{\{\s*(.*?)\s*\}\}/g, (template, expression: string) => {
    const name = /^(?:inputs\.)?args\.(.+)$/.exec(expression)?.[1]
    const value = (name === undefined ? undefined : args.get(name)) ?? { why: 'whose value only the controller knows' }
    if ('text' in value) return value.text
    missing ??= `\`${template}\`, ${value.why}`
    return ''
  })
  return missing === undefined ? { text: written } : { why: missing }
}
