// What queries, commands and webhooks have in common.
import { duration } from '../values/durations.ts'
import { wholeNumber } from '../values/numbers.ts'

export const every = duration.optional().describe("Time between two evaluations. Default: the step's interval.")

export const failures = wholeNumber(1, 100)
  .prefault(1)
  .describe('Number of failures in a row that count against the canary.')
