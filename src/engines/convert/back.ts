// mesh.yaml → objects of Flagger or Argo Rollouts. Pure: text in, text out, no cluster.
import { ConfigError } from '../../config/error.ts'
import { configOf } from '../../config/load.ts'
import { isMap } from '../../config/values/parsed-value.ts'
import { parse } from '../../yaml/parse.ts'
import { stringify } from '../../yaml/stringify.ts'
import { keyOf, titleOf } from '../../cluster/objects.ts'
import { allCanariesOf, canaryKeyOf } from '../../config/names.ts'
import type { CanaryConfig, Config } from '../../config/schema.ts'
import { asBuiltin } from './as-builtin.ts'
import { argoObjects } from './argo/to.ts'
import { flaggerObjects } from './flagger/to.ts'
import type { EngineObject, Generated } from './generated.ts'
import { type Entry, Ledger } from './ledger.ts'
import { listComment } from './list.ts'
import { type Engine, meshYaml, ourTable } from './ours.ts'
import { rowOf } from './table.ts'
import type { SourceFile, SourceObject } from './source.ts'

/** `text`: the objects as YAML, which begins with the list as comments. */
export type Objects = { text: string; entries: Entry[]; objects: EngineObject[] }

const generators: Record<Engine, (...args: Parameters<typeof flaggerObjects>) => Generated> = {
  flagger: flaggerObjects,
  'argo-rollouts': argoObjects,
}

/** @throws ConfigError as the config does, and for a config without a canary */
export function toObjects(file: SourceFile, engine: Engine): Objects {
  const config = configOf(file)
  const plans = config.canary ? [config.canary] : (config.canaries ?? [])
  if (plans.length === 0)
    throw new ConfigError(`${file.name}: canary: is missing; there is nothing to convert without a canary`)
  const source = sourceOf(file)
  const ledger = new Ledger()
  ledger.take(source, ['namespace'])
  const generated = plans.map((plan) => generatedFrom(config, plan, engine, file))
  for (const { taken, notes } of generated) {
    for (const path of taken) ledger.take(source, path)
    for (const { about, path, says } of notes)
      if (has(source.value, path) || path.at(-1) === 'steps')
        ledger.note({ about, object: source, path, value: valueAt(source.value, path) ?? valueAt(config, path), says })
  }
  const objects = generated.flatMap((each) => each.objects)
  rejectSameNames(objects, file)
  for (const each of plans) noteDefaults(ledger, source, config, each, engine)
  const entries = ledger.list([source], ourTable(engine))
  const documents = objects.map((object) => `---\n${stringify(object)}`).join('')
  const text = `# Created by \`mesh-canary convert --to ${engine}\` from ${file.name}.\n${listComment(entries)}${documents}`
  return { text, entries, objects }
}

/** @throws ConfigError for a canary whose object exists already, and for a Canary without the port of its Service */
function generatedFrom(config: Config, plan: CanaryConfig, engine: Engine, { name }: SourceFile): Generated {
  const { type, generate, workload } = plan.engine
  const key = canaryKeyOf(config, plan.service)
  if (type !== 'builtin' && !(generate && type === engine))
    throw new ConfigError(
      `${name}: ${key}.engine: ${type} has an object with the steps of this canary already; convert a canary without \`engine\``,
    )
  const own = asBuiltin(config)
  const generated = generators[engine](
    own,
    allCanariesOf(own).find(({ service }) => service === plan.service)!,
    workload,
  )
  if (engine === 'flagger' && config.services?.[plan.service]?.port === undefined)
    throw new ConfigError(
      `${name}: services.${plan.service}.port: is missing; Flagger writes the Service ${plan.service} anew, with this one port: set it`,
    )
  return generated
}

/** @throws ConfigError */
function rejectSameNames(objects: readonly EngineObject[], { name }: SourceFile): void {
  const seen = new Set<string>()
  for (const object of objects) {
    if (seen.has(keyOf(object)))
      throw new ConfigError(
        `${name}: two objects would have the name ${titleOf(object)}; rename one of the queries that they come from`,
      )
    seen.add(keyOf(object))
  }
}

/** What decides about a canary even where nobody wrote it. */
const defaultChecks = ['successRate', 'noWorseThanStable', 'falsePromotion']

function noteDefaults(ledger: Ledger, object: SourceObject, config: Config, plan: CanaryConfig, engine: Engine): void {
  for (const key of defaultChecks) {
    const path = [...canaryKeyOf(config, plan.service).split('.').map(indexed), 'checks', key]
    const says = rowOf(ourTable(engine), meshYaml, path, valueAt(config, path))
    if (!has(object.value, path) && !ledger.isTaken(object, path))
      ledger.note({ about: 'left', object, path, value: valueAt(config, path), says: `the default; ${says}` })
  }
  if (engine === 'flagger')
    ledger.note({
      about: 'differs',
      object,
      path: ['services', plan.service, 'port'],
      value: config.services?.[plan.service]?.port,
      says: 'Flagger also calls this port of the pods: write `targetPort` into the Canary if the Service has another',
    })
}

const indexed = (key: string) => (/^\d+$/.test(key) ? Number(key) : key)

/** The file as an object of one kind, for the list. Keys for anchors (`x-…`) mean nothing by themselves. */
function sourceOf({ name, text }: SourceFile): SourceObject {
  const { value, lineOf } = parse(text)
  const own = Object.entries(value as Record<string, unknown>).filter(([key]) => !key.startsWith('x-'))
  return {
    kind: meshYaml,
    name: '',
    namespace: undefined,
    value: Object.fromEntries(own),
    place: (path, key) => `${name}:${lineOf(path, key)}`,
  }
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (isMap(at) || Array.isArray(at) ? (at as Record<string | number, unknown>)[key] : undefined),
    value,
  )
}

function has(value: unknown, path: readonly (string | number)[]): boolean {
  return valueAt(value, path) !== undefined
}
