// Conditions on requests, for A/B routes and for the A/B stage of a canary.
import * as z from 'zod'
import { oneOrSeveral } from '../values/one-or-several.ts'
import { httpMethod, pathPrefix, regex } from '../values/strings.ts'
import { exactText, textMatch } from '../values/text-match.ts'

function byName<T extends z.ZodType>(value: T) {
  return z.record(
    z.string().regex(/^[A-Za-z0-9_.-]+$/, {
      error: 'expected the name of a header, cookie or parameter: letters, digits, dashes, dots and underscores',
    }),
    value,
  )
}

/** None would be a condition that every request meets. */
function atLeastOne<T extends z.ZodType>(value: T, what: string) {
  return byName(value).refine((named) => Object.keys(named).length > 0, {
    error: `expected at least one ${what}; add one, or remove the key`,
  })
}

const requestMatch = z
  .strictObject({
    headers: atLeastOne(textMatch, 'header')
      .optional()
      .describe(
        'Headers with exactly these values, or with values such as `{ regex: .*Firefox.* }` or `{ prefix: a }`.',
      ),
    cookie: byName(exactText)
      .refine((cookies) => Object.keys(cookies).length === 1, {
        error: 'expected exactly one cookie, because the proxy matches the Cookie header only once',
      })
      .optional()
      .describe('One cookie with exactly this value.'),
    userAgent: regex.optional().describe('Regular expression to find in the User-Agent header.'),
    query: atLeastOne(textMatch, 'query parameter').optional().describe('Query parameters, as with `headers`.'),
    method: httpMethod.optional().describe('HTTP method.'),
    path: pathPrefix.optional().describe('Path prefix.'),
  })
  .refine((match) => Object.values(match).some((value) => value !== undefined), {
    error: 'expected at least one of headers, cookie, userAgent, query, method, path',
  })

export const requestMatches = oneOrSeveral(requestMatch).describe(
  'Conditions on the requests. All of them must hold. With a list of such maps, those of one map must hold.',
)
