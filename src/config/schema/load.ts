// Requests of the run itself, for promotions and experiments whose users send too few for a decision.
import * as z from 'zod'
import { wholeNumber } from '../values/numbers.ts'
import { nonEmptyString, pathPrefix } from '../values/strings.ts'

export const load = z.strictObject({
  path: pathPrefix.prefault('/').describe('Path of the requests.'),
  host: nonEmptyString.optional().describe('Host header. Default: the first host that exposes the service.'),
  rate: wholeNumber(1, 10_000)
    .optional()
    .describe('Maximum number of requests per second. Default: as many as the checks need.'),
})

export const loadPurpose = 'Generates requests through the ingress gateway, if users send too few for a decision.'
