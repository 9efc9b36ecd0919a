// The section `clusters`: the clusters of a fleet, which get the same canary.
import * as z from 'zod'
import { wholeNumber } from '../values/numbers.ts'
import { nonEmptyString } from '../values/strings.ts'

export const fleetCluster = z.strictObject({
  kubeconfig: nonEmptyString
    .optional()
    .describe('Path or content of the kubeconfig for this cluster. Default: the `kubeconfig` of the config.'),
  context: nonEmptyString.optional().describe('Context of that kubeconfig. Default: its current context.'),
  wave: wholeNumber(1, 100)
    .prefault(1)
    .describe(
      'Clusters of one wave run in parallel. A wave begins when all canaries of the waves before are promoted.',
    ),
})
