// The sections `verify` and `limits`: what must hold at the end, and how long others may take.
import * as z from 'zod'
import { duration } from '../values/durations.ts'
import { wholeNumber } from '../values/numbers.ts'
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
  requestsPerSecond: wholeNumber(1, 10_000)
    .optional()
    .describe(
      'Maximum number of requests per second to the API server: lists, counters of sidecars, logs and applies. Reads and ' +
        'writes of single objects, such as the Lease and a rollback, never wait. Default: no limit, but the run waits as ' +
        'long as a busy API server asks.',
    ),
  kind: duration.prefault('10m').describe('Time limit of one kind command, such as creating the cluster.'),
})
