// Objects of Flagger or Argo Rollouts → mesh.yaml. Pure: texts in, text out, no cluster.
import { ConfigError } from '../../config/error.ts'
import { configOf } from '../../config/load.ts'
import { warningsOf } from '../../config/warnings.ts'
import { stringify } from '../../yaml/stringify.ts'
import { canaryFromRollout } from './argo/from.ts'
import { argoTable } from './argo/table.ts'
import { canaryFromFlagger, type Converted } from './flagger/from.ts'
import { flaggerTable } from './flagger/table.ts'
import { type Entry, Field, Ledger } from './ledger.ts'
import { listComment } from './list.ts'
import { checkFields, isEngineKind, readObjects, type SourceFile, type SourceObject } from './source.ts'
import { rowOf } from './table.ts'
import { namespaceOf } from './values.ts'

/** `text`: mesh.yaml, which begins with the list as comments. `taken`: whether the result contains a field. */
export type Conversion = {
  text: string
  entries: Entry[]
  objects: SourceObject[]
  isTaken: Ledger['isTaken']
}

/**
 * @throws ConfigError with file, line and path: for text that is no YAML, for a file without a Canary and Rollout, for
 * values that the engine's API refuses, and for what a mesh.yaml cannot express at all
 */
export function toMeshYaml(files: readonly SourceFile[]): Conversion {
  const objects = readObjects(files)
  const ledger = new Ledger()
  const roots = objects.filter(({ kind }) => kind === 'Canary' || kind === 'Rollout')
  if (roots.length === 0) throw nothingToConvert(files, objects)
  for (const object of objects) begin(object, ledger)
  const converted = roots.map((object) => canaryOf(object, objects, ledger))
  rejectSecond(roots, converted)
  const fields = roots.map((object) => ({ namespace: object.namespace, field: Field.root(ledger, object) }))
  const namespace = namespaceOf(fields)
  for (const { field } of fields) takeNamespace(field.get('metadata', 'namespace'))
  for (const object of objects) finish(object, ledger)
  const config = {
    ...(namespace === undefined ? {} : { namespace }),
    ...servicesOf(converted),
    ...(converted.length === 1
      ? { canary: converted[0]!.canary }
      : { canaries: converted.map(({ canary }) => canary) }),
  }
  const yaml = stringify(config)
  requireValid(yaml, files)
  const entries = ledger.list(objects, [...flaggerTable, ...argoTable])
  const names = files.map(({ name }) => name).join(', ')
  const text = `# Created by \`mesh-canary convert\` from ${names}.\n${listComment(entries)}\n${yaml}`
  return { text, entries, objects, isTaken: ledger.isTaken.bind(ledger) }
}

function canaryOf(object: SourceObject, objects: readonly SourceObject[], ledger: Ledger): Converted {
  const field = (found: SourceObject | undefined) => found && Field.root(ledger, found)
  const find = (kind: string, namespace: string | undefined, name: string) =>
    field(objects.find((each) => each.kind === kind && each.name === name && isIn(each, namespace ?? object.namespace)))
  const root = Field.root(ledger, object)
  if (object.kind === 'Canary')
    return canaryFromFlagger(root, (namespace, name) => find('MetricTemplate', namespace || undefined, name))
  return canaryFromRollout(root, find)
}

/** Whether the object is in the namespace, as far as both are known. */
function isIn({ namespace }: SourceObject, expected: string | undefined): boolean {
  return namespace === undefined || expected === undefined || namespace === expected
}

const templates = ['MetricTemplate', 'AnalysisTemplate', 'ClusterAnalysisTemplate']
const routing = ['VirtualService', 'DestinationRule', 'Gateway', 'HTTPRoute']

function begin(object: SourceObject, ledger: Ledger): void {
  const root = Field.root(ledger, object)
  if (!isEngineKind(object.kind)) {
    const says = routing.includes(object.kind)
      ? 'it stays as it is: leave it to whoever applies it now, or name its file under `policies`'
      : 'it stays as it is: mesh-canary reads it from the cluster'
    return void root.leave(says)
  }
  for (const { path, says } of checkFields(object)) ledger.drop(object, path, says)
}

/** A template is part of the result if a check came from it. */
function finish(object: SourceObject, ledger: Ledger): void {
  const root = Field.root(ledger, object)
  if (object.kind === 'AlertProvider') root.leave(rowOf(flaggerTable, object.kind, [], undefined))
  else if (!isEngineKind(object.kind)) return
  else if (!templates.includes(object.kind) || ledger.isTaken(object, ['metadata', 'name']))
    for (const key of ['apiVersion', 'kind']) root.get(key).take()
  else root.leave('no check came from it; see what names it')
}

function takeNamespace(namespace: Field): void {
  if (namespace.given) namespace.take()
  else namespace.assume('it is missing, so `namespace` is missing too, and is then `default`')
}

function rejectSecond(roots: readonly SourceObject[], converted: readonly Converted[]): void {
  converted.forEach(({ service }, i) => {
    const first = converted.findIndex((each) => each.service === service)
    if (first === i) return
    const { kind, name, place } = roots[i]!
    throw new ConfigError(
      `${place([])}: ${kind} ${name}: it is of the Service ${service}, as is ${roots[first]!.kind} ${roots[first]!.name} at ` +
        `${roots[first]!.place([])}; a mesh.yaml has one canary for each Service`,
    )
  })
}

function servicesOf(converted: readonly Converted[]): { services?: Record<string, unknown> } {
  const services = converted.filter(({ policy }) => Object.keys(policy).length > 0)
  if (services.length === 0) return {}
  return { services: Object.fromEntries(services.map(({ service, policy }) => [service, policy])) }
}

function nothingToConvert(files: readonly SourceFile[], objects: readonly SourceObject[]): ConfigError {
  const names = files.map(({ name }) => name).join(', ')
  const [first] = objects
  if (!first) return new ConfigError(`${names}:1: there is no object in it; give the file of a Canary or a Rollout`)
  const kinds = [...new Set(objects.map(({ kind }) => kind))].join(', ')
  return new ConfigError(
    `${first.place([], 'kind')}: kind: expected a Canary of Flagger or a Rollout of Argo Rollouts among the objects, but found ${kinds}`,
  )
}

/** What one object says may contradict what another says; then there is no mesh.yaml for both. */
function requireValid(yaml: string, files: readonly SourceFile[]): void {
  const names = files.map(({ name }) => name).join(', ')
  try {
    const warnings = warningsOf(configOf({ name: 'mesh.yaml', text: yaml }), Date.now())
    if (warnings.length > 0) throw new ConfigError(warnings.join('\n'))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(
      `${names}: the result would not be a valid mesh.yaml; change the source, or write the file by hand:\n${error.message}`,
    )
  }
}
