// The schema as it is published: a JSON Schema of what a person writes, with the descriptions.
import * as z from 'zod'
import { schema } from './schema.ts'

export type Node = {
  description?: string
  default?: unknown
  type?: string | string[]
  enum?: string[]
  properties?: Record<string, Node>
  required?: string[]
  additionalProperties?: Node | boolean
  items?: Node
}

/** Generated at each call, which takes a few milliseconds. */
export function publishedSchema(): Node {
  return z.toJSONSchema(schema, { io: 'input' }) as Node
}

/** The node of the value at a path; {} for an unknown path. Items of a list, or of a map with free names, share one. */
export function nodeAt(path: readonly (string | number)[], root = publishedSchema()): Node {
  return path.reduce<Node>((node, key) => {
    const rest = node.additionalProperties
    return node.properties?.[key] ?? node.items ?? (typeof rest === 'object' ? rest : {})
  }, root)
}
