// `canary.engine`: who moves the traffic, this program or a controller in the cluster.
import * as z from 'zod'
import { objectName } from '../values/kubernetes.ts'
import { withShortForm } from '../values/short-form.ts'
import { boolean, oneOf } from '../values/strings.ts'

const type = oneOf('builtin', 'argo-rollouts', 'flagger')

/** A controller in the cluster that moves the traffic. */
export type EngineType = Exclude<z.output<typeof type>, 'builtin'>

export const engineTitles = { 'argo-rollouts': 'Argo Rollouts', flagger: 'Flagger' } as const

const section = z.strictObject({
  type: type.describe('`argo-rollouts` alone is short for `{ type: argo-rollouts }`.'),
  name: objectName
    .optional()
    .describe("Name of the Rollout or of Flagger's Canary. Default: the one that moves the traffic of `service`."),
  generate: boolean
    .prefault(false)
    .describe(
      'Writes the object of the engine from this section, with the stage `policies`: a Rollout with AnalysisTemplates and its ' +
        'routes, or a Canary with MetricTemplates, for an existing Deployment. `steps`, `interval`, `mirror`, `ab` and ' +
        '`checks.queries` become part of it, as `mesh-canary convert` writes them.',
    ),
  workload: objectName
    .optional()
    .describe('Name of the Deployment that the generated objects roll out. Default: the name of `service`.'),
  resume: boolean
    .prefault(false)
    .describe(
      'Ends the pause at which this run finds the Rollout, as an approval does. At a later pause without a duration ' +
        'the run ends `held`.',
    ),
})

export const engine = withShortForm(section, type, (type) => ({ type, generate: false, resume: false }))
