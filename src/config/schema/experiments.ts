// The section `experiments`: faults to inject on purpose, what the mesh must do about them, and how they end.
import * as z from 'zod'
import { duration, durationOrZero } from '../values/durations.ts'
import { objectName, workload } from '../values/kubernetes.ts'
import { strings } from '../values/lists.ts'
import { fraction, parseWholeNumber, percentage, wholeNumber } from '../values/numbers.ts'
import { parsedValue } from '../values/parsed-value.ts'
import { publicValue } from '../values/public-value.ts'
import { chaosMesh } from './chaos-mesh.ts'
import { faultGuard } from './guard.ts'
import { load, loadPurpose } from './load.ts'
import { metricNames } from './metric-names.ts'
import { countOfValues, hasExactlyOne, multipleOfLimit, podSelector, shareOfRequests } from './parts.ts'
import { requestMatches } from './request-match.ts'

/** Which calls an injected delay or abort concerns. */
const scope = {
  service: objectName
    .optional()
    .describe('Service whose calls get the fault. Default: the service of the experiment, whose users are watched.'),
  from: podSelector.optional().describe('Labels of the calling pods. Default: all callers.'),
  match: requestMatches.optional().describe('Conditions on the requests. Default: all requests.'),
}

const delay = z.strictObject({
  time: duration.describe('How long the proxy of the caller holds a request back.'),
  percent: shareOfRequests('Share of the requests to delay.'),
  ...scope,
})

const abort = z.strictObject({
  status: wholeNumber(400, 599).describe('HTTP status with which the proxy of the caller answers.'),
  percent: shareOfRequests('Share of the requests to abort.'),
  ...scope,
})

const podKill = z
  .strictObject({
    workload: workload.describe('Workload whose pods are evicted, such as `deploy/backend`.'),
    count: wholeNumber(1, 1_000).optional().describe('Number of pods to evict at a time. Default: 1.'),
    share: percentage('above 0%').optional().describe('Share of the pods to evict at a time, instead of `count`.'),
    every: duration.optional().describe('Time between two evictions. Default: pods are evicted once.'),
  })
  .refine(({ count, share }) => countOfValues({ count, share }) <= 1, { error: 'expected at most one of count, share' })

const partition = z.strictObject({
  workload: workload.describe(
    'Workload that is cut off from its callers. An AuthorizationPolicy refuses their requests with a 403, ' +
      'which counts as a failure here.',
  ),
})

const overload = z.strictObject({
  service: scope.service,
  maxConnections: wholeNumber(1, 1_000_000).prefault(1).describe('Number of connections that each caller may open.'),
  maxPendingRequests: wholeNumber(1, 1_000_000)
    .prefault(1)
    .describe('Number of requests that may wait for a connection at each caller.'),
})

const inject = z
  .strictObject({
    delay: delay.optional().describe('Delays calls to a service.'),
    abort: abort.optional().describe('Answers calls to a service with an error.'),
    podKill: podKill.optional().describe('Evicts pods. PodDisruptionBudgets are respected.'),
    partition: partition.optional().describe('Cuts a workload off.'),
    overload: overload.optional().describe("Shrinks the callers' connection pool for a service."),
    chaosMesh: chaosMesh.optional().describe('A fault that Chaos Mesh injects.'),
  })
  .refine(hasExactlyOne, { error: 'expected exactly one of delay, abort, podKill, partition, overload, chaosMesh' })

/** How often something must have happened: from `min` to `max` times. */
export type CountBounds = { min?: number; max?: number }

const boundsForm = '`some`, `none`, or whole numbers as in { min: 10, max: 500 }'

const countBounds = parsedValue<CountBounds>(
  boundsForm,
  { ...publicValue, type: ['string', 'object'] },
  (raw): CountBounds | undefined => {
    if (raw === 'some') return { min: 1 }
    if (raw === 'none') return { max: 0 }
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return undefined
    const entries = Object.entries(raw).map(([key, value]) => [key, parseWholeNumber(value)] as const)
    const isValid = entries.every(([key, value]) => ['min', 'max'].includes(key) && value !== undefined)
    if (!isValid || entries.length === 0) return undefined
    const { min, max } = Object.fromEntries(entries) as CountBounds
    if (min !== undefined && max !== undefined && min > max) return undefined
    return { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
  },
)

/** What the callers' sidecars may be expected to have counted. */
export const meshExpectations = ['retries', 'retrySuccesses', 'timeouts', 'ejections', 'overflows'] as const
export type MeshExpectation = (typeof meshExpectations)[number]

const meshCount = (what: string) => countBounds.optional().describe(`${what}: ${boundsForm}.`)

const expect = z.strictObject({
  successRate: fraction
    .prefault('99%')
    .describe(
      "Minimum share of the users' requests that do not fail while the fault acts. Failures are 5xx, no response, gRPC " +
        'statuses of server errors, injected errors of any status, and requests whose caller gave up; all after retries.',
    ),
  p99: duration.optional().describe('Time limit for 99 of 100 requests of users while the fault acts.'),
  retries: meshCount("Retries by the users' sidecars"),
  retrySuccesses: meshCount('Retries that succeeded'),
  timeouts: meshCount('Requests and tries that ran into a timeout'),
  ejections: meshCount('Ejections of pods by outlier detection'),
  overflows: meshCount('Requests that the connection limits refused'),
  falseFragile: fraction
    .prefault('1%')
    .describe('Maximum probability of the verdict `fragile` although users get what is expected at any moment.'),
  falseResilient: fraction
    .prefault('5%')
    .describe('Maximum probability of the verdict `resilient` although users get worse than `tolerance` allows.'),
  tolerance: multipleOfLimit(
    'Multiple of a limit at which the verdict must not be `resilient`. With `successRate: 99%`, 2 is users of whose ' +
      'requests 2% fail. A larger one needs fewer requests.',
  ),
})

export const experiment = z.strictObject({
  service: objectName.describe('Service whose users are watched.'),
  inject: inject.describe('The fault; exactly one.'),
  expect: expect.prefault({}).describe('The hypothesis: what users get, and what the mesh does, while the fault acts.'),
  during: z
    .enum(['promotion'], { error: 'expected promotion' })
    .optional()
    .describe(
      '`promotion`: may run while a promotion of the service is under way, with podKill, partition or chaosMesh. Default: an ' +
        'experiment and a promotion of one service exclude each other.',
    ),
  load: load.optional().describe(loadPurpose),
  steadyState: duration
    .prefault('30s')
    .describe(
      'How long the users are watched before. If they do not get what is expected even then, nothing is injected and the ' +
        'verdict is `inconclusive`.',
    ),
  duration: duration.prefault('1m').describe('How long the fault acts.'),
  recoverWithin: duration
    .prefault('30s')
    .describe(
      'Time limit, from the removal of the fault, until its effects have ended and the users get what they got before. After ' +
        'a fault of a small share, the run may wait longer for the calls that show that it is gone: at most `duration` more.',
    ),
  stopBelow: fraction
    .prefault('50%')
    .describe(
      "Success rate of the users' requests, in the last ten seconds or on the whole, below which the experiment ends at once.",
    ),
  minRequests: wholeNumber(1, 1_000_000)
    .prefault(50)
    .describe('Number of requests of users that the steady state needs.'),
  maxAffected: percentage('above 0%')
    .prefault('50%')
    .describe(
      "Maximum share of a workload's pods that a fault may affect. More is refused before anything is touched.",
    ),
  clients: strings
    .optional()
    .describe(
      'Other namespaces whose pods call the service, such as `istio-system` with the ingress gateway. Their sidecars count ' +
        'users as well. Each needs a running pod with a sidecar.',
    ),
  maxPods: wholeNumber(1, 10_000)
    .prefault(50)
    .describe('Maximum number of sidecars to read. If there are more pods, a sample of them is read.'),
  pollInterval: duration
    .prefault('1s')
    .describe('Time between two samples of the counters, from 250ms to a third of `guard`.'),
  confirmTimeout: duration.prefault('1m').describe('Time limit for the guard to watch, and then for the fault to act.'),
  leaseWaitTimeout: durationOrZero
    .prefault('0s')
    .describe('How long to wait while another run promotes the service or experiments with it.'),
  guard: faultGuard
    .prefault({})
    .describe(
      'Job in the namespace that removes the fault if the run is silent for this long. It cannot be switched off.',
    ),
  metrics: metricNames,
})
