// Which stages a config runs, and what each of them needs.
import type { Fault } from './check/fault.ts'
import { allCanariesOf, canariesOf, generatedCanariesOf } from './names.ts'
import type { Config } from './schema.ts'
import { stageNames, type StageName } from './schema/stages.ts'

/** What to add to the config if the stage has nothing to do; undefined if the stage has something to do. */
type Need = (config: Config) => string | undefined

const needs: Partial<Record<StageName, Need>> = {
  cluster: ({ cluster }) => (cluster ? undefined : 'set `cluster: kind`'),
  install: ({ istio }) => (istio ? undefined : 'set `istio`, or at least `istio-version`'),
  inject: ({ workloads }) => (workloads ? undefined : 'set `workloads`, or `workloads: all`'),
  plan: (config) => (config.istio ? undefined : needPolicies(config)),
  policies: needPolicies,
  observe: ({ observability }) =>
    observability ? undefined : 'set `observability`; an empty one (`observability: {}`) removes what it installed',
  edge: ({ edge }) => (edge ? undefined : 'set `edge`'),
  retire: ({ istio }) => (istio?.removeOld ? undefined : 'set `istio.removeOld`'),
  uninstall: ({ istio }) =>
    istio ? undefined : 'set `istio-version`, because istioctl of this version removes the control plane',
  promote: needCanary,
  experiment: ({ experiments = {} }) => (Object.keys(experiments).length > 0 ? undefined : 'set `experiments`'),
  rollback: needCanary,
}

function needCanary(config: Config): string | undefined {
  return allCanariesOf(config).length > 0 ? undefined : 'set `canary`'
}

const policySections = [
  'mtls',
  'services',
  'authorization',
  'jwt',
  'egress',
  'scope',
  'expose',
  'telemetry',
  'observability',
  'policies',
] as const

/** True if the config says anything about policies. */
export function hasPolicies(config: Config): boolean {
  const writes = canariesOf(config).length > 0 || generatedCanariesOf(config).length > 0
  return writes || policySections.some((section) => config[section] !== undefined)
}

function needPolicies(config: Config): string | undefined {
  if (hasPolicies(config)) return undefined
  return (
    'set `mtls`, `services` or another policy section; ' +
    'an empty one (`services: {}`) removes what this config created before'
  )
}

export function stageFaults(config: Config): Fault[] {
  const { stages = [] } = config
  const path = ['stages']
  const contradiction = stages.includes('promote') && stages.includes('rollback')
  return [
    ...stages.flatMap((stage) => {
      const need = needs[stage]?.(config)
      return need === undefined ? [] : [{ path, message: `${stage} has nothing to do; ${need}` }]
    }),
    ...(contradiction
      ? [{ path, message: 'promote and rollback contradict each other; run rollback in a run of its own' }]
      : []),
  ]
}

/** The stages that run without being listed, if they have something to do. */
const automatic = stageNames.filter((stage) => !['plan', 'rollback', 'uninstall'].includes(stage))

/** Stages after which there is nothing to verify. Promotions of this program come with policies. */
const withoutVerification: readonly StageName[] = ['cluster', 'install', 'edge', 'retire', 'promote', 'experiment']

/** The stages of this run, in order: the listed ones, or those that have something to do. */
export function stagesOf(config: Config): StageName[] {
  const { stages } = config
  if (stages) return stageNames.filter((stage) => stages.includes(stage))
  const active = automatic.filter((stage) => stage !== 'verify' && needs[stage]?.(config) === undefined)
  const hasVerification = active.some((stage) => !withoutVerification.includes(stage))
  return automatic.filter((stage) => active.includes(stage) || (stage === 'verify' && hasVerification))
}
