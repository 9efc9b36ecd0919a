// mesh.yaml → objects of Flagger or Argo Rollouts. Pure: text in, text out, no cluster.
import { ConfigError } from '../../config/error.ts'
import { configOf } from '../../config/load.ts'
import { isMap } from '../../config/values/parsed-value.ts'
import { parse } from '../../yaml/parse.ts'
import { stringify } from '../../yaml/stringify.ts'
import { argoObjects } from './argo/to.ts'
import { flaggerObjects } from './flagger/to.ts'
import type { EngineObject, Generated } from './generated.ts'
import { type Entry, Ledger } from './ledger.ts'
import { listComment } from './list.ts'
import { type Engine, meshYaml, ourTable } from './ours.ts'
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
  const generated = plans.map((plan) => generators[engine](config, plan))
  for (const { taken, notes } of generated) {
    for (const path of taken) ledger.take(source, path)
    for (const { about, path, says } of notes)
      if (has(source.value, path))
        ledger.note({ about, object: source, path, value: valueAt(source.value, path), says })
  }
  const objects = generated.flatMap((each) => each.objects)
  const entries = ledger.list([source], ourTable(engine))
  const documents = objects.map((object) => `---\n${stringify(object)}`).join('')
  const text = `# Created by \`mesh-canary convert --to ${engine}\` from ${file.name}.\n${listComment(entries)}${documents}`
  return { text, entries, objects }
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

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (isMap(at) || Array.isArray(at) ? (at as Record<string | number, unknown>)[key] : undefined),
    value,
  )
}

function has(value: unknown, path: readonly (string | number)[]): boolean {
  return valueAt(value, path) !== undefined
}
