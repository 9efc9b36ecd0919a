// The sections `verify`, `limits` and `runFor`: what must hold at the end, and how long others and the run itself may take.
import * as z from 'zod'
import { duration, durationAtLeast } from '../values/durations.ts'
import { wholeNumber } from '../values/numbers.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean } from '../values/strings.ts'

export const verify = z.strictObject({
  timeout: duration.prefault('3m').describe('Time limit for pods to become ready with their sidecar.'),
  trafficChecks: boolean.prefault(false).describe('Also sends traffic to check that the policies are in effect.'),
})

export const limits = z.strictObject({
  request: duration.prefault('15s').describe('Time limit of one request to the API server.'),
  credentials: duration.prefault('30s').describe('Time limit of the credential program that the kubeconfig names.'),
  istioctl: duration
    .prefault('10m')
    .describe('Time limit of istioctl, in addition to the time that istioctl itself waits.'),
  download: duration.prefault('5m').describe('Time limit of a download of istioctl or kind.'),
  kind: duration.prefault('10m').describe('Time limit of one kind command, such as creating the cluster.'),
  requestsPerSecond: wholeNumber(1, 10_000)
    .optional()
    .describe(
      'Maximum number of requests per second to the API server: lists, counters of sidecars, logs and applies. Reads and ' +
        'writes of single objects, such as the Lease and a rollback, never wait. Default: no limit, but the run waits as ' +
        'long as a busy API server asks.',
    ),
})

/** A run needs some seconds to begin, and some to hand over. */
const shortestRun = durationAtLeast('20s')

const runForSection = z.strictObject({
  duration: shortestRun.describe('How long the run may take. `5h` alone is short for `{ duration: 5h }`.'),
  resumeWithin: durationAtLeast('1m')
    .prefault('1h')
    .describe(
      'How long the weight waits for the next run. Then the guard returns all traffic to stable. Nobody judges the canary ' +
        'until then.',
    ),
})

export const runFor = withShortForm(runForSection, shortestRun, (duration) => ({
  duration,
  resumeWithin: runForSection.shape.resumeWithin.parse(undefined),
}))
