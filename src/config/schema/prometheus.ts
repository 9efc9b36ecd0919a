// `canary.prometheus`: where Prometheus is.
import * as z from 'zod'
import { responseTime } from '../values/durations.ts'
import { boolean, nonEmptyString, plainUrl } from '../values/strings.ts'
import { hasAtMostOne, serviceAddress } from './parts.ts'

export const prometheus = z
  .strictObject({
    address: plainUrl
      .optional()
      .describe('Address of Prometheus. Default, without `service`: the Prometheus of `observability.metrics`.'),
    service: serviceAddress('istio-system/prometheus:9090')
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
  .refine(({ address, service }) => hasAtMostOne({ address, service }), {
    error: 'expected only one of address, service',
  })
