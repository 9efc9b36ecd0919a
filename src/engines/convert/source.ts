// Reads the objects to convert from YAML texts. Each object remembers its file and the line of each field.
import { ConfigError } from '../../config/error.ts'
import { dotted, FieldChecker, metadataFields } from '../../policies/manifests/field-checker.ts'
import { isMap } from '../../runtime/is-map.ts'
import { YamlError } from '../../yaml/faults.ts'
import { parseAll, type YamlDocument } from '../../yaml/parse.ts'
import { valueAt, type Path } from '../../yaml/positions.ts'
import { firstTemplateMark, templateFault } from '../../yaml/templates.ts'
import table from './crd-fields.json' with { type: 'json' }

export type SourceFile = { name: string; text: string }

/** `place`: the file and line of the value at the path, or of `key` inside it. */
export type SourceObject = {
  kind: string
  name: string
  namespace: string | undefined
  value: Record<string, unknown>
  place: (path: Path, key?: string) => string
}

/** A field that the API of the object does not have. */
export type UnknownField = { path: Path; says: string }

const apiVersions: Record<string, string> = {
  Canary: 'flagger.app/v1beta1',
  MetricTemplate: 'flagger.app/v1beta1',
  AlertProvider: 'flagger.app/v1beta1',
  Rollout: 'argoproj.io/v1alpha1',
  AnalysisTemplate: 'argoproj.io/v1alpha1',
  ClusterAnalysisTemplate: 'argoproj.io/v1alpha1',
}

/** True for the kinds whose fields we know. */
export function isEngineKind(kind: string): boolean {
  return Object.hasOwn(apiVersions, kind)
}

/** Whose kind it is, with the version whose fields we know. */
export function apiOf(kind: string): string {
  return apiVersions[kind]?.startsWith('flagger.app/')
    ? `Flagger ${table.engines.Flagger}`
    : `Argo Rollouts ${table.engines['Argo Rollouts']}`
}

/** All objects of all files, in order. @throws ConfigError for text that is no YAML, or that holds something else */
export function readObjects(files: readonly SourceFile[]): SourceObject[] {
  return files.flatMap((file) =>
    parseAll(file.text)
      .map((document) => (document instanceof YamlError ? refuse(file, document) : document))
      .filter(({ value }) => value !== null && value !== undefined)
      .flatMap((document) => objectsOf(file, document, [])),
  )
}

function refuse({ name, text }: SourceFile, { line, reason }: YamlError): never {
  const template = firstTemplateMark(text)
  // The queries of Flagger and Argo Rollouts contain `{{` too, so only text that is no YAML is taken for a template.
  const problem = template ? templateFault(template.mark) : `is not valid YAML: ${reason}`
  throw new ConfigError(`${name}:${template?.line ?? line}: ${problem}`)
}

function objectsOf(file: SourceFile, document: YamlDocument, at: Path): SourceObject[] {
  const value = valueAt(document.value, at)
  const place = (path: Path, key?: string) => `${file.name}:${document.lineOf([...at, ...path], key)}`
  if (!isMap(value)) throw new ConfigError(`${place([])}: expected an object of Kubernetes, with apiVersion and kind`)
  const { kind, apiVersion, items } = value
  if (typeof kind !== 'string' || typeof apiVersion !== 'string')
    throw new ConfigError(`${place([])}: expected an object of Kubernetes, but it has no apiVersion or no kind`)
  if (kind.endsWith('List') && Array.isArray(items))
    return items.flatMap((_, i) => objectsOf(file, document, ['items', i]))
  const { name, namespace } = isMap(value['metadata']) ? value['metadata'] : {}
  return [
    {
      kind,
      name: typeof name === 'string' ? name : '',
      namespace: typeof namespace === 'string' ? namespace : undefined,
      value,
      place,
    },
  ]
}

/**
 * Checks an object of an engine against its CRD. Returns its unknown fields.
 * @throws ConfigError for another version of the API, and for values that its CRD refuses
 */
export function checkFields(object: SourceObject): UnknownField[] {
  const { kind, value, place } = object
  const expected = apiVersions[kind]!
  if (value['apiVersion'] !== expected)
    throw new ConfigError(
      `${place([], 'apiVersion')}: ${kind} ${object.name}: apiVersion: expected ${expected}, of ${apiOf(kind)}`,
    )
  const definitions: Record<string, string>[] = table.definitions
  const content = definitions[Number((table.kinds as Record<string, string>)[kind]!.slice(1))]!
  const checker = new FieldChecker(definitions, apiOf(kind))
  checker.checkMap(metadataFields, value['metadata'], ['metadata'])
  const spec = `${content['spec']!.replace(/!$/, '')}!`
  checker.checkMap({ apiVersion: 'string', kind: 'string', metadata: 'any', status: 'any', spec }, value, [])
  const title = [kind, object.name].filter((part) => part !== '').join(' ')
  const wrong = checker.faults.filter(({ isUnknown }) => !isUnknown)
  if (wrong.length > 0)
    throw new ConfigError(wrong.map(({ path, says }) => `${place(path)}: ${title}: ${says}`).join('\n'))
  const dropped = '; the API server drops it'
  return checker.faults.map(({ path, says }) => ({ path, says: `${says.replace(`${dotted(path)}: `, '')}${dropped}` }))
}
