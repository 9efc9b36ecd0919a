// The schema as it is published: a JSON Schema of what a person writes, with the descriptions.
import * as z from 'zod'
import { schema } from './schema.ts'
import { withoutMarks } from './values/public-value.ts'

export type SchemaNode = {
  description?: string
  default?: unknown
  type?: string | string[]
  enum?: string[]
  properties?: Record<string, SchemaNode>
  patternProperties?: Record<string, SchemaNode>
  required?: string[]
  additionalProperties?: SchemaNode | boolean
  items?: SchemaNode
}

/** Generated at each call, which takes a few milliseconds. */
export function publishedSchema(): SchemaNode {
  return { ...(withoutMarks(markedSchema()) as SchemaNode), patternProperties: { '^x-': {} } }
}

/** With the marks of the values that an error may show. */
export function markedSchema(): SchemaNode {
  return z.toJSONSchema(schema, { io: 'input' }) as SchemaNode
}

/** The node of the value at a path; {} for an unknown path. Items of a list, or of a map with free names, share one. */
export function nodeAt(path: readonly (string | number)[], root = publishedSchema()): SchemaNode {
  return path.reduce<SchemaNode>((node, key) => {
    const rest = node.additionalProperties
    return node.properties?.[key] ?? node.items ?? (typeof rest === 'object' ? rest : {})
  }, root)
}
