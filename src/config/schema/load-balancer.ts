// `services.<name>.loadBalancer`: how requests spread over the pods.
import * as z from 'zod'
import { duration } from '../values/durations.ts'
import { withShortForm } from '../values/short-form.ts'
import { percentage } from '../values/numbers.ts'
import { boolean, nonEmptyString, oneOf } from '../values/strings.ts'
import { hasExactlyOne } from './parts.ts'

const hashKey = z
  .strictObject({
    header: nonEmptyString.optional().describe('Requests with the same value of this header go to the same pod.'),
    cookie: z
      .strictObject({
        name: nonEmptyString.describe('Name of the cookie.'),
        ttl: duration
          .optional()
          .describe(
            'Lifetime of the cookie that the proxy sets if a request has none. ' +
              'Default: the proxy sets no cookie and only reads it.',
          ),
      })
      .optional()
      .describe('Requests with the same value of this cookie go to the same pod.'),
    query: nonEmptyString
      .optional()
      .describe('Requests with the same value of this query parameter go to the same pod.'),
    sourceIp: boolean.optional().describe('Requests from the same IP address go to the same pod.'),
  })
  .refine(hasExactlyOne, { error: 'expected exactly one of header, cookie, query, sourceIp' })

const slowStart = withShortForm(
  z.strictObject({
    duration: duration.describe('How long a new pod warms up.'),
    minimumPercent: percentage('from 0%')
      .optional()
      .describe('Share of its requests that a new pod gets at first. Default of Istio: 10%.'),
    aggression: z
      .number({ error: 'expected a number from 1' })
      .min(1, { error: 'expected a number from 1' })
      .optional()
      .describe('How the share grows: 1 linearly, more than 1 faster at first. Default of Istio: 1.'),
  }),
  duration,
  (duration) => ({ duration }),
)

const algorithm = oneOf('round-robin', 'least-request', 'random')

export const loadBalancer = withShortForm(
  z.strictObject({
    simple: algorithm
      .optional()
      .describe('Algorithm. `loadBalancer: random` is short for `loadBalancer: { simple: random }`.'),
    warmup: slowStart
      .optional()
      .describe(
        'Slow start: a new pod among older ones of its version gets its full share only after this time. ' +
          '`warmup: 1m` is short for `warmup: { duration: 1m }`. Not with `random` or `consistentHash`.',
      ),
    consistentHash: hashKey.optional().describe('Sends requests with the same key to the same pod.'),
  }),
  algorithm,
  (simple) => ({ simple }),
)
