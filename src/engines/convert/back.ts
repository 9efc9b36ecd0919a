// mesh.yaml → objects of Flagger or Argo Rollouts. Pure: text in, text out, no cluster.
import { ConfigError } from '../../config/error.ts'
import { configOf } from '../../config/load.ts'
import { allCanariesOf, canaryKey } from '../../config/names.ts'
import { nodeAt, publishedSchema, type SchemaNode } from '../../config/published.ts'
import type { Config } from '../../config/schema.ts'
import type { EngineType } from '../../config/schema/engine.ts'
import { isMap } from '../../runtime/is-map.ts'
import { parse } from '../../yaml/parse.ts'
import { valueAt, type Path } from '../../yaml/positions.ts'
import { stringify } from '../../yaml/stringify.ts'
import { argoObjects } from './argo/to.ts'
import { asBuiltin } from './as-builtin.ts'
import { flaggerObjects } from './flagger/to.ts'
import type { EngineObject, Generated, KeyNote } from './generated.ts'
import { type Entry, Ledger } from './ledger.ts'
import { listComment } from './list.ts'
import { meshYaml, ourTable } from './ours.ts'
import type { SourceFile, SourceObject } from './source.ts'
import { rowFor } from './table.ts'

/** `text`: the objects as YAML, which begins with the list as comments. */
export type Objects = { text: string; entries: Entry[]; objects: EngineObject[] }

const generators: Record<EngineType, (...args: Parameters<typeof flaggerObjects>) => Generated> = {
  flagger: flaggerObjects,
  'argo-rollouts': argoObjects,
}

/** @throws ConfigError as the config does, and for a config without what the objects need */
export function toObjects(file: SourceFile, engine: EngineType): Objects {
  const config = configOf(file)
  const plans = allCanariesOf(config)
  const source = sourceOf(file)
  rejectUnfit(file, source, config, engine)
  const ledger = new Ledger()
  const context: Context = { ledger, source, schema: publishedSchema() }
  ledger.take(source, ['namespace'])
  const own = asBuiltin(config)
  const generated = allCanariesOf(own).map((plan) => generators[engine](own, plan, plan.engine.workload))
  for (const { taken, notes } of generated) {
    for (const path of taken) ledger.take(source, path)
    for (const note of notes) noteKey(context, config, note)
  }
  plans.forEach((_, i) => noteDefaults(context, sectionOf(config, i), engine))
  const objects = generated.flatMap((each) => each.objects)
  const entries = ledger.list([source], ourTable(engine))
  const documents = objects.map((object) => `---\n${stringify(object)}`).join('')
  const text = `# Created by \`mesh-canary convert --to ${engine}\` from ${file.name}.\n${listComment(entries)}${documents}`
  return { text, entries, objects }
}

function sectionOf({ canary }: Config, index: number): Path {
  return canary ? ['canary'] : ['canaries', index]
}

/** Where the objects would contain a guess that takes the service down. */
function rejectUnfit({ name }: SourceFile, source: SourceObject, config: Config, engine: EngineType): void {
  const plans = allCanariesOf(config)
  if (plans.length === 0)
    throw new ConfigError(`${name}: canary: is missing; there is nothing to convert without a canary`)
  plans.forEach((plan, i) => {
    const key = canaryKey(config, i)
    const { type, generate } = plan.engine
    if (type !== 'builtin' && !(generate && type === engine))
      throw new ConfigError(
        `${source.place(sectionOf(config, i), 'engine')}: ${key}.engine: expected \`builtin\`, but found ${type}, whose object has the ` +
          'steps of this canary already; remove `engine` to get objects for this section',
      )
    if (engine === 'flagger' && config.services?.[plan.service]?.port === undefined)
      throw new ConfigError(
        `${source.place(['services', plan.service])}: services.${plan.service}.port: is missing; Flagger writes the Service ` +
          `${plan.service} anew, with the port that its Canary names: set it to the port that callers use`,
      )
  })
}

type Context = { ledger: Ledger; source: SourceObject; schema: SchemaNode }

function noteKey(context: Context, config: Config, { about, path, says }: KeyNote): void {
  const { ledger, source } = context
  const value = valueAt(source.value, path)
  if (value !== undefined || about === 'assumed') ledger.note({ about, object: source, path, value, says })
  else if (valueAt(config, path) !== undefined) noteDefault(context, path, says)
}

/** Checks that a canary has without a word in the file. */
const defaults = ['noWorseThanStable', 'falseRollback', 'falsePromotion', 'minRequests'].map((key) => ['checks', key])

function noteDefaults(context: Context, section: Path, engine: EngineType): void {
  for (const key of [...defaults, ['onInconclusive']]) {
    const path = [...section, ...key]
    const says = rowFor(ourTable(engine), meshYaml, path)!.says
    if (valueAt(context.source.value, path) === undefined) noteDefault(context, path, says)
  }
}

function noteDefault({ ledger, source, schema }: Context, path: Path, says: string): void {
  const { default: value } = nodeAt(path, schema)
  ledger.note({ about: 'default', object: source, path, value: isMap(value) ? undefined : value, says })
}

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
