// The base of every value in the config: a zod schema that turns what a person writes into what the program uses.
import * as z from 'zod'

/**
 * A schema for one written form.
 * @param expected ends the sentence "expected …" of the error message
 * @param jsonSchema describes the written form, for the published JSON Schema
 * @param parse returns undefined for what it does not understand
 */
export function parsedValue<T>(
  expected: string,
  jsonSchema: Record<string, unknown>,
  parse: (raw: unknown) => T | undefined,
) {
  return z
    .unknown()
    .meta(jsonSchema)
    .transform((raw, context): T => {
      const value = parse(raw)
      if (value !== undefined) return value
      context.issues.push({ code: 'custom', message: `expected ${expected}`, input: raw })
      return z.NEVER
    })
}
