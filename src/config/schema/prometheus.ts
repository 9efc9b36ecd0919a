// `canary.prometheus`: where Prometheus is.
import * as z from 'zod'
import { responseTime } from '../values/durations.ts'
import { publicValue } from '../values/public-value.ts'
import { boolean, nonEmptyString, url } from '../values/strings.ts'
import { hasExactlyOne } from './parts.ts'

export const prometheus = z
  .strictObject({
    address: url.optional().describe('Address of Prometheus.'),
    service: z
      .string()
      .regex(/^[-a-z0-9]+\/[-a-z0-9]+:\d+$/, {
        error: 'expected namespace/name:port, such as istio-system/prometheus:9090',
      })
      .meta(publicValue)
      .optional()
      .describe('Service in the cluster, as `namespace/name:port`, reached through the API server.'),
    token: nonEmptyString.optional().describe('Bearer token.'),
    timeout: responseTime
      .prefault('10s')
      .describe('Time limit for a response. A response that takes longer counts as no data.'),
    counters: boolean
      .prefault(false)
      .describe("Reads the sidecars' request counters from Prometheus, instead of from the sidecars."),
  })
  .refine(({ address, service }) => hasExactlyOne({ address, service }), {
    error: 'expected exactly one of address, service',
  })
