// The section `services`: traffic policies for each service.
import * as z from 'zod'
import { duration, instant } from '../values/durations.ts'
import { stringsMatching } from '../values/lists.ts'
import { percentage, port, wholeNumber } from '../values/numbers.ts'
import { publicValue } from '../values/public-value.ts'
import { loadBalancer } from './load-balancer.ts'
import { oneOf } from '../values/strings.ts'
import { labelKey, labelValue, nameOf, shareOfRequests } from './parts.ts'
import { requestMatches } from './request-match.ts'

const anyCount = wholeNumber(1, 1_000_000)

const retryOn = stringsMatching('Envoy retry conditions such as gateway-error, reset', /^[a-z0-9-]+$/, publicValue)

export const defaultRetryOn = ['gateway-error', 'connect-failure', 'refused-stream', 'unavailable', 'cancelled']

const retries = z.strictObject({
  attempts: wholeNumber(0, 100).describe('Number of retries after the first try. 0 turns retries off.'),
  perTryTimeout: duration.optional().describe('Time limit of one try.'),
  retryOn: retryOn
    .prefault(defaultRetryOn)
    .describe("Conditions to retry on. Unlike Istio's own default, ours includes a 503 response (`gateway-error`)."),
  budget: z
    .strictObject({
      percent: percentage('above 0%')
        .prefault('20%')
        .describe('Maximum of concurrent retries, as a share of the concurrent requests.'),
      minConcurrency: anyCount.prefault(3).describe('Number of concurrent retries that is always allowed.'),
    })
    .optional()
    .describe('Limits retries, so that they cannot overload the service.'),
})

const circuitBreaker = z.strictObject({
  maxConnections: anyCount.optional().describe('Maximum number of TCP connections.'),
  maxPendingRequests: anyCount.optional().describe('Maximum number of requests that wait for a connection.'),
  maxRequestsPerConnection: wholeNumber(0, 1_000_000)
    .optional()
    .describe('Maximum number of requests per connection. 0 means no limit.'),
  consecutive5xxErrors: anyCount.optional().describe('Number of 5xx responses in a row that eject a pod.'),
  interval: duration.optional().describe('Time between two checks of which pods to eject.'),
  ejectFor: duration.optional().describe('How long a pod stays ejected the first time.'),
  maxEjectionPercent: wholeNumber(0, 100)
    .optional()
    .describe('Maximum share of the pods that are ejected at the same time, in per cent.'),
})

const route = z.strictObject({
  name: nameOf('a route').optional().describe('Name of the route. Default: `to` and its number.'),
  match: requestMatches,
  to: nameOf('a subset').describe('Subset that gets the matching requests.'),
})

const fault = z
  .strictObject({
    delay: z
      .strictObject({
        time: duration.describe('How long the proxy holds a request back.'),
        percent: shareOfRequests('Share of the requests to delay.'),
      })
      .optional()
      .describe('Delays requests.'),
    abort: z
      .strictObject({
        status: wholeNumber(200, 599).describe('HTTP status of the response.'),
        percent: shareOfRequests('Share of the requests to abort.'),
      })
      .optional()
      .describe('The proxy responds to requests itself, without the service.'),
    until: instant.describe(
      'When the fault ends, so that nobody forgets it. A later run leaves the fault out and says so.',
    ),
  })
  .refine(({ delay, abort }) => delay ?? abort, { error: 'expected delay, abort, or both' })

const mirror = z.strictObject({
  to: nameOf('a subset').describe('Subset that gets the copies. Its responses are dropped.'),
  percent: shareOfRequests('Share of the requests to copy.'),
})

export const service = z.strictObject({
  port: port.optional().describe('Port of the Service that the policies apply to.'),
  retries: retries.optional().describe('Retries by the calling sidecar.'),
  timeout: duration.optional().describe('Time limit of the whole request, including retries.'),
  circuitBreaker: circuitBreaker.optional().describe('Connection limits, and ejection of failing pods.'),
  subsets: z
    .record(nameOf('a subset'), z.record(labelKey, labelValue))
    .optional()
    .describe('Named groups of pods, selected by labels: `v1: { version: v1 }`.'),
  traffic: z
    .record(nameOf('a subset'), wholeNumber(0, 100))
    .optional()
    .describe('Weight of each subset in per cent. The weights must add up to 100.'),
  weights: oneOf('kept', 'from-file')
    .optional()
    .describe(
      'Who sets weights that a promotion has moved, and those of a canary. With `kept`, `traffic` and the weights in ' +
        'your manifests count only until the routes exist; after that, only a promotion moves them. ' +
        'With `from-file`, each run writes the weights of the file again. Default: `kept`.',
    ),
  loadBalancer: loadBalancer
    .optional()
    .describe(
      'Load balancing: `round-robin`, `least-request`, `random`, or `consistentHash` with one of `header`, `cookie`, ' +
        '`query`, `sourceIp`.',
    ),
  routes: z
    .array(route)
    .optional()
    .describe(
      'A/B routes, matched in this order before the split: `- { match: { headers: { x-beta: "1" } }, to: v2 }`.',
    ),
  mirror: mirror.optional().describe('Sends copies of the requests to a subset.'),
  fault: fault.optional().describe('Injected faults, on every route of the service.'),
})
