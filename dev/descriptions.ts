// Every key that a person can write has a description: completion in editors and the reference pages consist of them.
import { publishedSchema, type SchemaNode } from '../src/config/published.ts'

/** The dotted paths of all keys without a description. `<name>` stands for a free name, `[]` for an item of a list. */
export function keysWithoutDescription(node: SchemaNode, path = ''): string[] {
  const keys = Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const childPath = path === '' ? key : `${path}.${key}`
    const isDescribed = child.description !== undefined && child.description.trim() !== ''
    return [...(isDescribed ? [] : [childPath]), ...keysWithoutDescription(child, childPath)]
  })
  const { additionalProperties, items } = node
  return [
    ...keys,
    ...(typeof additionalProperties === 'object' ? keysWithoutDescription(additionalProperties, `${path}.<name>`) : []),
    ...(items ? keysWithoutDescription(items, `${path}[]`) : []),
  ]
}

/** @throws Error that lists the keys without a description */
export function checkDescriptions(schema: SchemaNode = publishedSchema()): void {
  const missing = keysWithoutDescription(schema)
  if (missing.length > 0)
    throw new Error(`no description for ${missing.join(', ')}: add \`.describe('…')\` to each in src/config/schema`)
}
