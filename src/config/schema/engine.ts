// `canary.engine`: who moves the traffic, this program or a controller in the cluster.
import * as z from 'zod'
import { objectName } from '../values/kubernetes.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, oneOf } from '../values/strings.ts'

const type = oneOf('builtin', 'argo-rollouts', 'flagger')

const section = z.strictObject({
  type: type.describe('`argo-rollouts` alone is short for `{ type: argo-rollouts }`.'),
  name: objectName
    .optional()
    .describe("Name of the Rollout or of Flagger's Canary. Default: the one that moves the traffic of `service`."),
  resume: boolean
    .prefault(false)
    .describe(
      'Ends the pause at which this run finds the Rollout, as an approval does. At a later pause without a duration ' +
        'the run ends `held`.',
    ),
})

export const engine = withShortForm(section, type, (type) => ({ type, resume: false }))
