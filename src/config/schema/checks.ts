// `canary.checks`: the limits that a canary has to meet.
import * as z from 'zod'
import { duration, responseTime } from '../values/durations.ts'
import { stringsMatching } from '../values/lists.ts'
import { fraction, wholeNumber } from '../values/numbers.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, nonEmptyString } from '../values/strings.ts'
import { every, failures } from './hook-parts.ts'
import { multipleOfLimit, nameOf } from './parts.ts'

export const defaultSuccessRate = '99%'

const bound = z.number({ error: 'expected a number' })

/** What the variables of Flagger's queries are called here. */
const flaggerVariables = new Map([
  ['namespace', '`$namespace`'],
  ['service', '`$service`'],
  ['interval', '`$interval`'],
  ['target', 'the name of the canary\'s Deployment, or select by `destination_version="$canary"`'],
])

/** Flagger and Argo Rollouts fill in `{{ … }}`. Prometheus would look for that text, and find nothing. */
function refuseTemplate(text: string, context: z.core.$RefinementCtx<string>): void {
  const found = new Map([...text.matchAll(/\{\{-?\s*(.*?)\s*-?\}\}/g)].map(([written, name = '']) => [written, name]))
  if (found.size === 0) return
  const advice = [...found].map(
    ([written, name]) => `for \`${written}\` write ${flaggerVariables.get(name) ?? 'the value'}`,
  )
  context.addIssue({ code: 'custom', message: `nothing fills in templates here; ${advice.join(', ')}` })
}

const query = z
  .strictObject({
    query: nonEmptyString
      .superRefine(refuseTemplate)
      .describe(
        'PromQL that returns one number. `$namespace`, `$service`, `$stable`, `$canary`, `$weight`, `$interval` and, in a ' +
          'fleet, `$cluster` are replaced by the values of the step.',
      ),
    min: bound.optional().describe('Lowest good value.'),
    max: bound.optional().describe('Highest good value.'),
    every,
    failures,
  })
  .refine(({ min, max }) => min !== undefined || max !== undefined, { error: 'expected min, max, or both' })

const command = z.strictObject({
  run: stringsMatching('a program and its arguments, such as [node, check.js]', /\S/).describe(
    'Program and arguments, run without a shell. Environment variables: `MESH_CANARY_WEIGHT`, `_STEP`, `_SERVICE`, ' +
      '`_STABLE`, `_CANARY` and `_NAMESPACE`; in a fleet also `_CLUSTER`, `_CONTEXT` and `KUBECONFIG`, of its cluster.',
  ),
  every,
  timeout: responseTime
    .prefault('30s')
    .describe('Time limit. A program that runs longer is stopped and counts as failed.'),
  failures,
})

const relative = z.strictObject({
  margin: z
    .number({ error: 'expected a number' })
    .min(1, { error: 'expected a number from 1' })
    .max(100)
    .prefault(1.5)
    .describe("Tolerated multiple of stable's rate."),
  latency: boolean.prefault(true).describe("Also compares the share of requests that are slower than stable's p99."),
  enabled: boolean
    .prefault(true)
    .describe('`noWorseThanStable: false` is short for `noWorseThanStable: { enabled: false }`.'),
})

export const checks = z.strictObject({
  successRate: fraction
    .prefault(defaultSuccessRate)
    .describe(
      "Minimum share of the canary's responses that are not failures. " +
        'Failures are 5xx, no response, and gRPC statuses of server errors.',
    ),
  p99: duration.optional().describe('Time limit for the responses to 99 of 100 requests.'),
  noWorseThanStable: withShortForm(relative, boolean, (enabled) => ({ ...relative.parse({}), enabled }))
    .prefault({})
    .describe('Whether the canary must not fail, or be slow, more often than stable at the same time.'),
  falseRollback: fraction
    .prefault('1%')
    .describe(
      'Maximum probability of rolling back a canary that meets its limits, over the whole promotion and all these ' +
        'checks together.',
    ),
  falsePromotion: fraction
    .prefault('5%')
    .describe(
      'Maximum probability of promoting a canary that is worse than `tolerance` times its limits. The last step starts ' +
        'only when the requests show that the canary is better; until then the step before it waits, for ' +
        '`progressDeadline` at most.',
    ),
  tolerance: multipleOfLimit(
    'Multiple of a limit at which a canary must not be promoted. With `successRate: 99%`, 2 is a canary that fails ' +
      '2% of its requests. A larger one needs fewer requests.',
  ),
  minRequests: wholeNumber(0, 1_000_000)
    .prefault(10)
    .describe('Number of requests that the canary must serve in a step before the step can pass.'),
  queries: z
    .record(nameOf('a query'), query)
    .prefault({})
    .describe('Prometheus queries by name. Each result must be within its bounds.'),
  commands: z
    .record(nameOf('a command'), command)
    .prefault({})
    .describe('Programs by name. Each must end with exit code 0.'),
})
