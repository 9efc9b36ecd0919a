// The names of the metrics that the sidecars publish.
import * as z from 'zod'
import { nonEmptyString } from '../values/strings.ts'

export const metricNames = z
  .strictObject({
    requests: nonEmptyString.prefault('istio_requests_total').describe('Name of the request counter of the sidecars.'),
    duration: nonEmptyString
      .prefault('istio_request_duration_milliseconds')
      .describe('Name of the request duration histogram of the sidecars.'),
  })
  .prefault({})
  .describe('Names of the metrics that the sidecars publish.')
