// Sections of which there may be one, or a list.
import * as z from 'zod'

/** Always a list, with at least one item. */
export function oneOrSeveral<S extends z.ZodObject>(section: S) {
  const { $schema, ...jsonSchema } = z.toJSONSchema(section, { io: 'input' })
  return z
    .unknown()
    .meta({ ...jsonSchema, type: ['object', 'array'], items: jsonSchema })
    .transform((raw, context): z.infer<S>[] => {
      const several = z.array(section).min(1, { error: 'expected at least one' })
      const parsed = Array.isArray(raw) ? several.safeParse(raw) : section.transform((one) => [one]).safeParse(raw)
      if (parsed.success) return parsed.data
      context.issues.push(...(parsed.error.issues as z.core.$ZodRawIssue[]))
      return z.NEVER
    })
}
