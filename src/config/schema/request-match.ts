// Conditions on requests, for A/B routes and for the A/B stage of a canary.
import * as z from 'zod'
import { httpMethod, pathPrefix, regex } from '../values/strings.ts'

/** A map of strings. YAML reads bare words as numbers and booleans: those count as the text they look like. */
const exactValues = z.record(
  z.string().regex(/^[A-Za-z0-9_.-]+$/, {
    error: 'expected the name of a header, cookie or parameter: letters, digits, dashes, dots and underscores',
  }),
  z.union([z.string().min(1), z.number().transform(String), z.boolean().transform(String)], {
    error: 'expected a string',
  }),
)

export const requestMatch = z
  .strictObject({
    headers: exactValues.optional().describe('Headers with exactly these values.'),
    cookie: exactValues
      .refine((cookies) => Object.keys(cookies).length === 1, {
        error: 'expected exactly one cookie, because the proxy matches the Cookie header only once',
      })
      .optional()
      .describe('One cookie with exactly this value.'),
    userAgent: regex.optional().describe('Regular expression to find in the User-Agent header.'),
    query: exactValues.optional().describe('Query parameters with exactly these values.'),
    method: httpMethod.optional().describe('HTTP method.'),
    path: pathPrefix.optional().describe('Path prefix.'),
  })
  .refine((match) => Object.values(match).some((value) => value !== undefined), {
    error: 'expected at least one of headers, cookie, userAgent, query, method, path',
  })
  .describe('Conditions on the requests. All of them must hold.')
