// Sections that may be written as a single value: `mtls: strict` for `mtls: { mode: strict }`.
import * as z from 'zod'
import { isMap } from '../../runtime/is-map.ts'
import { isPublic, publicValue } from './public-value.ts'

/** `expand` turns the short form's value into the whole section. */
export function withShortForm<S extends z.ZodObject, T>(
  section: S,
  shortForm: z.ZodType<T>,
  expand: (value: T) => z.infer<S>,
) {
  const jsonSchema = Object.fromEntries(
    Object.entries(z.toJSONSchema(section, { io: 'input' })).filter(([key]) => key !== '$schema'),
  )
  return z
    .unknown()
    .meta({ ...jsonSchema, ...publicOf(shortForm), type: ['string', 'object'] })
    .transform((raw, context): z.infer<S> => {
      const parsed = isMap(raw) ? section.safeParse(raw) : shortForm.transform(expand).safeParse(raw)
      if (parsed.success) return parsed.data
      context.issues.push(...(parsed.error.issues as z.core.$ZodRawIssue[]))
      return z.NEVER
    })
}

/** A section's single value is public if its short form is. */
function publicOf(shortForm: z.ZodType): object {
  return isPublic(z.toJSONSchema(shortForm, { io: 'input' })) ? publicValue : {}
}
