// `canary.guard`: the Job that returns all traffic to stable if the run disappears.
import * as z from 'zod'
import { duration, durationOrOff, parseDuration } from '../values/durations.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, nonEmptyString } from '../values/strings.ts'
import { pullPolicy } from './parts.ts'

/** The run renews its Lease with every sample. A shorter time would mistake one slow renewal for the end of the run. */
const minimumAfter = '5s'

const section = z.strictObject({
  after: duration
    .refine((ms) => ms >= parseDuration(minimumAfter)!, { error: `expected ${minimumAfter} or more` })
    .prefault('30s')
    .describe('How long the run may be silent before the guard returns all traffic to stable.'),
  image: nonEmptyString
    .prefault('docker.io/library/node:24-alpine')
    .describe('Image with Node.js that the guard runs in.'),
  pullPolicy: pullPolicy.prefault('IfNotPresent').describe('When the node pulls this image.'),
  enabled: boolean.prefault(true).describe('`guard: off` is short for `guard: { enabled: false }`.'),
})

export const guard = withShortForm(section, durationOrOff(minimumAfter), (after) => ({
  ...section.parse({}),
  ...(after === 'off' ? { enabled: false } : { after }),
}))
