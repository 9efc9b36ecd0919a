// What contradicts an engine other than this program: keys that it ignores, and two engines in one config.
import { allCanariesOf, canaryKey } from '../names.ts'
import type { CanaryConfig, Config } from '../schema.ts'
import { engineTitles, type EngineType } from '../schema/engine.ts'
import type { Fault } from './fault.ts'

/** The object by which each engine moves the traffic, and where its steps are. */
const engineObjects = {
  'argo-rollouts': { kind: 'Rollout', steps: 'spec.strategy.canary' },
  flagger: { kind: 'Canary', steps: 'spec.analysis' },
} as const

type Advice = (engine: EngineType) => string

const inObject: Advice = (engine) =>
  `write it in the ${engineObjects[engine].kind} (\`${engineObjects[engine].steps}\`), and remove it here`
const namesVersions: Advice = (engine) => `${engineTitles[engine]} knows its versions; remove it`
const ownsTraffic: Advice = (engine) =>
  `${engineTitles[engine]} writes the weights and continues by itself if this run ends; remove it`
const notSupported: Advice = (engine) => `a rollout of ${engineTitles[engine]} does not use it; remove it`

/** The keys that mean something only where this program moves the traffic. */
const ignored: Partial<Record<keyof CanaryConfig, Advice>> = {
  stable: namesVersions,
  canary: namesVersions,
  routes: inObject,
  steps: inObject,
  until: inObject,
  mirror: inObject,
  ab: inObject,
  interval: inObject,
  advance: inObject,
  minInterval: inObject,
  manifests: () => 'a rollout of a controller gets only `image` or `images`; apply the manifests before, and remove it',
  replicas: inObject,
  webhooks: inObject,
  load: notSupported,
  onFail: (engine) => `a canary that fails is always aborted, as ${engineTitles[engine]} does; remove it`,
  onDrift: ownsTraffic,
  guard: ownsTraffic,
  leaseWaitTimeout: ownsTraffic,
  confirmTimeout: inObject,
  after: notSupported,
  commitTimeout: notSupported,
}

/** `value`: what the user wrote, before defaults. */
export function engineFaults(config: Config, value: Record<string, unknown>): Fault[] {
  const all = allCanariesOf(config)
  const written = [value['canary'] ?? value['canaries']].flat()
  return [
    ...mixedFaults(config),
    ...runForFaults(config),
    ...all.flatMap((plan, i) =>
      faultsOf(plan, Object.keys((written[i] as object | undefined) ?? {})).map(({ path, message }) => ({
        path: [...canaryKey(config, i).split('.'), ...path],
        message,
      })),
    ),
  ]
}

function mixedFaults(config: Config): Fault[] {
  const all = allCanariesOf(config)
  const other = all.findIndex(({ engine }) => engine.type !== all[0]!.engine.type)
  if (other < 1) return []
  const message =
    `${all[other]!.engine.type} is another engine than that of ${all[0]!.service} (${all[0]!.engine.type}); ` +
    'promote the two in runs of their own'
  return [{ path: ['canaries', String(other), 'engine'], message }]
}

/** The traffic of a controller moves on without the run, and nobody would judge the canary. */
function runForFaults(config: Config): Fault[] {
  const type = allCanariesOf(config).find(({ engine }) => engine.type !== 'builtin')?.engine.type
  if (config.runFor === undefined || type === undefined || type === 'builtin') return []
  const message =
    `has no effect with \`engine: ${type}\`: ${engineTitles[type]} writes the weights and continues by itself if this run ` +
    'ends, so nothing can be held; remove it'
  return [{ path: ['runFor'], message }]
}

/** What the generated objects take from the section. */
const generatedKeys: Record<EngineType, string[]> = {
  'argo-rollouts': ['stable', 'canary', 'steps', 'until', 'interval', 'mirror', 'ab'],
  flagger: ['steps', 'interval', 'mirror', 'ab', 'webhooks'],
}

function notGenerated(engine: EngineType): string {
  return (
    `the generated ${engineObjects[engine].kind} does not express it; remove it, or write the ${engineObjects[engine].kind} ` +
    `yourself (\`mesh-canary convert --to ${engine}\`), without \`generate\``
  )
}

function subsetFaults({ stable, canary }: CanaryConfig): Fault[] {
  if (stable.name === canary.name)
    return [{ path: ['canary'], message: `${canary.name} is the same subset as stable; name the new version` }]
  return Object.entries({ stable, canary }).flatMap(([key, version]) =>
    version.by === 'subset'
      ? []
      : [{ path: [key], message: 'the generated Rollout moves the traffic between two subsets; name a subset' }],
  )
}

function noWayBack(engine: EngineType): string {
  return (
    `has no effect with \`engine: ${engine}\`: ${engineTitles[engine]} decides what follows without evidence; the run then ` +
    'ends `inconclusive`, unless you write `promote`'
  )
}

function faultsOf(plan: CanaryConfig, keys: string[]): Fault[] {
  const { engine, image, images, onInconclusive } = plan
  const { type, name, resume } = engine
  const { generate, workload } = engine
  const own = (key: string, message: string): Fault => ({ path: ['engine', key], message })
  if (type === 'builtin')
    return [
      ...(name === undefined ? [] : [own('name', 'is for argo-rollouts and flagger; remove it')]),
      ...(resume ? [own('resume', 'is for argo-rollouts; remove it')] : []),
      ...(generate ? [own('generate', 'is for argo-rollouts and flagger; remove it')] : []),
      ...(workload === undefined ? [] : [own('workload', 'is for `generate`; remove it')]),
    ]
  return [
    ...(!generate && workload !== undefined ? [own('workload', 'is for `generate`; remove it')] : []),
    ...(generate && name !== undefined
      ? [own('name', 'the generated object has the name of `service`; remove it')]
      : []),
    ...(image !== undefined && images !== undefined
      ? [{ path: ['images'], message: '`image` says what to release already; give one of the two' }]
      : []),
    ...(type === 'flagger' && resume
      ? [
          own(
            'resume',
            'Flagger asks its own webhooks for approval, and this run cannot answer for them; approve there, and remove it',
          ),
        ]
      : []),
    ...(keys.includes('onInconclusive') && onInconclusive !== 'promote'
      ? [{ path: ['onInconclusive'], message: noWayBack(type) }]
      : []),
    ...(generate ? subsetFaults(plan) : []),
    ...keys.flatMap((key) => {
      if (generate && generatedKeys[type].includes(key)) return []
      const advice = ignored[key as keyof CanaryConfig]
      const text = advice === inObject && generate ? notGenerated(type) : advice?.(type)
      return text === undefined ? [] : [{ path: [key], message: `has no effect with \`engine: ${type}\`: ${text}` }]
    }),
  ]
}
