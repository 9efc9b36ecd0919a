// `canary.webhooks`: services that take part in the decision.
import * as z from 'zod'
import { responseTime } from '../values/durations.ts'
import { wholeNumber } from '../values/numbers.ts'
import { url, oneOf } from '../values/strings.ts'
import { every, failures } from './hook-parts.ts'

export const webhook = z.strictObject({
  type: oneOf('confirm-rollout', 'pre-rollout', 'rollout', 'confirm-promotion', 'post-rollout', 'rollback', 'event')
    .prefault('rollout')
    .describe(
      'When it is called, with the types of Flagger: `confirm-rollout` and `pre-rollout` before the first weight, ' +
        '`rollout` in every step, `confirm-promotion` before the last weight, `post-rollout` at the end, `event` at ' +
        'every change. `rollback` rolls the canary back if it responds with 2xx.',
    ),
  url: url.describe('Address that gets the payload by POST, in the format of Flagger. Only 2xx passes.'),
  timeout: responseTime.prefault('10s').describe('Time limit for a response.'),
  retries: wholeNumber(0, 100).prefault(0).describe('Number of immediate retries if there is no response.'),
  metadata: z
    .record(z.string(), z.string({ error: 'expected a string' }))
    .optional()
    .describe('Strings to send in the payload.'),
  every,
  failures,
})
