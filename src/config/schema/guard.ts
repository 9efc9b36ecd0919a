// The Job that returns all traffic to stable, or removes an experiment's fault, if the run disappears.
import * as z from 'zod'
import { durationAtLeast, durationOrOff } from '../values/durations.ts'
import { positiveQuantity, quantity } from '../values/quantities.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, nonEmptyString } from '../values/strings.ts'
import { pullPolicy } from './parts.ts'

/** The run renews its Lease with every sample. A shorter time would mistake one slow renewal for the end of the run. */
const minimumAfter = '5s'

const amounts = (cpu: string, memory: string) =>
  z
    .strictObject({
      cpu: positiveQuantity.prefault(cpu).describe('CPU, such as `50m`.'),
      memory: positiveQuantity.prefault(memory).describe('Memory, such as `64Mi`.'),
    })
    .prefault({})

const resources = z
  .strictObject({
    requests: amounts('25m', '64Mi').describe('What the node reserves.'),
    limits: amounts('500m', '160Mi').describe('The most that it may use. It needs about 64Mi of memory.'),
  })
  .superRefine(({ requests, limits }, context) => {
    for (const name of ['cpu', 'memory'] as const)
      if (quantity(limits[name]) < quantity(requests[name]))
        context.addIssue({
          code: 'custom',
          path: ['limits', name],
          message: `expected at least the request, ${requests[name]}`,
          input: limits[name],
        })
  })

const sectionOf = (duty: string, enabled: string) =>
  z.strictObject({
    after: durationAtLeast(minimumAfter)
      .prefault('30s')
      .describe(`How long the run may be silent before the guard ${duty}.`),
    image: nonEmptyString
      .prefault('docker.io/library/node:24-alpine')
      .describe('Image with Node.js that the guard runs in.'),
    pullPolicy: pullPolicy.prefault('IfNotPresent').describe('When the node pulls this image.'),
    resources: resources
      .prefault({})
      .describe('CPU and memory of the guard, as the quotas and limits of the namespace allow.'),
    enabled: boolean.prefault(true).describe(enabled),
  })

const withDuty = (section: ReturnType<typeof sectionOf>) =>
  withShortForm(section, durationOrOff(minimumAfter), (after) => ({
    ...section.parse({}),
    ...(after === 'off' ? { enabled: false } : { after }),
  }))

export const guard = withDuty(
  sectionOf('returns all traffic to stable', '`guard: off` is short for `guard: { enabled: false }`.'),
)
export const faultGuard = withDuty(
  sectionOf('removes the fault', 'Always `true` here, because an experiment needs its guard.'),
)
