// The schema as it is published: JSON Schema of what a person writes, and the descriptions in it.
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

/** Made anew at each call, in some milliseconds. */
export function publishedSchema(): Node {
  return z.toJSONSchema(schema, { io: 'input' }) as Node
}

/** What the schema says of the value at a path of named keys, list items and keys of any name alike; nothing where it knows none. */
export function nodeAt(path: readonly (string | number)[], root = publishedSchema()): Node {
  return path.reduce<Node>((node, key) => {
    const rest = node.additionalProperties
    return node.properties?.[key] ?? node.items ?? (typeof rest === 'object' ? rest : {})
  }, root)
}
