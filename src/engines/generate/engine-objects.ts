// The objects by which a controller moves the traffic of a canary, from the same section `canary` that a promotion of this
// program takes, with what they keep of the cluster. Pure.
import { keyOf, type KubeObject } from '../../cluster/objects.ts'
import { ConfigError } from '../../config/error.ts'
import { allCanariesOf, canaryKeyOf, generatedCanariesOf } from '../../config/names.ts'
import type { CanaryConfig, Config, ServicePolicy } from '../../config/schema.ts'
import type { EngineType } from '../../config/schema/engine.ts'
import type { Path } from '../../yaml/positions.ts'
import { argoObjects } from '../convert/argo/to.ts'
import { asBuiltin } from '../convert/as-builtin.ts'
import { flaggerObjects } from '../convert/flagger/to.ts'
import type { EngineObject, Generated, KeyNote } from '../convert/generated.ts'
import { meshYaml, ourTable } from '../convert/ours.ts'
import { rowFor } from '../convert/table.ts'
import { keepForArgo, keepForFlagger, type Existing } from './keep.ts'

/** `notes`: what the objects express in another way than the config, one sentence each. */
export type EngineObjects = { objects: EngineObject[]; notes: string[] }

const nothing: Existing = { virtualServices: [], destinationRules: [] }

/** @throws ConfigError for each key that the objects cannot express, and that has no other effect */
export function engineObjects(config: Config, existing: ReadonlyMap<string, Existing> = new Map()): EngineObjects {
  const plans = generatedCanariesOf(config)
  const results = plans.map((plan) => ({
    plan,
    ...generate(config, plan, existing.get(plan.service) ?? nothing),
  }))
  const faults = results.flatMap(({ plan, generated, objects }) => [
    ...unexpressed(config, plan, generated),
    ...portFaults(plan, objects),
  ])
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return {
    objects: results.flatMap(({ objects }) => objects),
    notes: results.flatMap(({ generated }) =>
      generated.notes.filter((note) => note.about === 'differs' && has(config, note.path)).map(sentence),
    ),
  }
}

function generate(config: Config, plan: CanaryConfig, existing: Existing) {
  const own = asBuiltin(config)
  const ownPlan = allCanariesOf(own).find(({ service }) => service === plan.service)!
  const workload = plan.engine.workload ?? plan.service
  if (plan.engine.type === 'flagger') {
    const generated = flaggerObjects(own, ownPlan, workload)
    return { generated, objects: keepForFlagger(generated.objects, existing) }
  }
  const generated = argoObjects(own, ownPlan, workload)
  return { generated, objects: keepForArgo(generated.objects, existing) }
}

const isGenerated = ({ engine }: CanaryConfig) => engine.generate
const isOfFlagger = ({ engine }: CanaryConfig) => engine.generate && engine.type === 'flagger'

function withoutServices(config: Config, isMeant: (plan: CanaryConfig) => boolean): Config {
  const left = generatedCanariesOf(config).filter(isMeant)
  if (!config.services || left.length === 0) return config
  const others = Object.entries(config.services).filter(([name]) => !left.some(({ service }) => service === name))
  return { ...config, services: Object.fromEntries(others) }
}

/** The config without the policies of services whose routes the generated objects are, or bring. */
export function withoutGenerated(config: Config): Config {
  return withoutServices(config, isGenerated)
}

/** The config that compiles to the routes of generated Rollouts as well. Flagger writes its routes itself. */
export function withGeneratedRoutes(config: Config): Config {
  return asBuiltin(withoutServices(config, isOfFlagger), (plan) => !isOfFlagger(plan))
}

/** The policies and the generated objects. Those replace a policy of the same name, such as the route of a gateway. */
export function withEngineObjects(policies: readonly KubeObject[], generated: readonly KubeObject[]): KubeObject[] {
  const replaced = new Set(generated.map(keyOf))
  return [...policies.filter((object) => !replaced.has(keyOf(object))), ...generated]
}

/** The keys of a canary that only its objects can follow. The others are for this run, whatever the objects say. */
const onlyInObjects = ['steps', 'interval', 'until', 'mirror', 'ab', 'webhooks']

function unexpressed(config: Config, plan: CanaryConfig, { taken, notes }: Generated): string[] {
  const type = plan.engine.type as EngineType
  const { service } = plan
  const section = canaryKeyOf(config, service).split('.').length
  const isOnlyInObjects = ({ path }: KeyNote) => path[0] === 'services' || onlyInObjects.includes(String(path[section]))
  const left = notes.filter((note) => note.about === 'left' && isOnlyInObjects(note) && has(config, note.path))
  const policy = config.services?.[service] ?? {}
  const isTaken = (key: string) =>
    taken.some((path) => path[0] === 'services' && path[1] === service && path[2] === key)
  const lost = Object.keys(policy).filter((key) => policy[key as keyof ServicePolicy] !== undefined && !isTaken(key))
  const ways = `remove it, or write the objects yourself (\`mesh-canary convert --to ${type}\`) without \`engine.generate\``
  return [
    ...left.map((note) => `${sentence(note)}; ${ways}`),
    ...lost.map((key) => {
      const says = rowFor(ourTable(type), meshYaml, ['services', service, key])?.says
      return `services.${service}.${key}: the objects of ${type} do not express it: ${says ?? 'they have no such field'}; ${ways}`
    }),
  ]
}

/** Without a cluster, only the config can say which port the Service has. */
function portFaults({ service }: CanaryConfig, objects: readonly EngineObject[]): string[] {
  const canary = objects.find(({ kind }) => kind === 'Canary')
  if (!canary || 'port' in (canary.spec['service'] as object)) return []
  return [
    `services.${service}.port: is missing; Flagger writes the Service ${service} anew, with this one port: set it`,
  ]
}

const sentence = ({ path, says }: KeyNote) => `${path.join('.')}: ${says}`

function has(config: Config, path: Path): boolean {
  const value = path.reduce<unknown>((at, key) => (at as Record<string | number, unknown> | undefined)?.[key], config)
  return value !== undefined
}
