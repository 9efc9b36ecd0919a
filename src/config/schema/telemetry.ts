// The section `telemetry`: access logs and tracing.
import * as z from 'zod'
import { percentage } from '../values/numbers.ts'
import { boolean } from '../values/strings.ts'

export const telemetry = z.strictObject({
  accessLogs: boolean.optional().describe('Whether the sidecars log each request.'),
  tracing: percentage('from 0%').optional().describe('Share of the requests to trace.'),
})
