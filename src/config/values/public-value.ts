// Marks the values that an error may show. Numbers, booleans and words out of a list are public without a mark.

const mark = 'x-public'

/** For the JSON Schema of a value: it is never a secret, such as a duration or the name of an object. */
export const publicValue = { [mark]: true }

type Node = { type?: unknown; enum?: unknown; items?: unknown; [mark]?: unknown }

/** True if an error may show the value of the schema's node. */
export function isPublic(node: Node): boolean {
  if (node[mark] === true || node.enum !== undefined) return true
  if (['integer', 'number', 'boolean'].includes(String(node.type))) return true
  return typeof node.items === 'object' && node.items !== null && isPublic(node.items)
}

/** The schema without the marks, as it is published. */
export function withoutMarks(node: object): unknown {
  return JSON.parse(JSON.stringify(node, (key, value: unknown) => (key === mark ? undefined : value)))
}
