// Reads the user's own manifests as policies, each with its file and line.
import type { Config } from '../../config/schema.ts'
import { globSync, statSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { apiVersionOf, kindOf, type KubeObject, type Meta } from '../../cluster/objects.ts'
import { ConfigError } from '../../config/error.ts'
import { decodeText } from '../../config/read.ts'
import { shownPath } from '../../config/shown.ts'
import { isMap } from '../../runtime/is-map.ts'
import { YamlError } from '../../yaml/faults.ts'
import { parseAll, type YamlDocument } from '../../yaml/parse.ts'
import { firstTemplateMark, templateFault } from '../../yaml/templates.ts'
import { manifestFaults, type ManifestFault } from './manifest-faults.ts'
import type { FieldPath } from './field-checker.ts'
import { templateFaults } from './manifest-templates.ts'

/**
 * An object and its source: `file:line`, or the config. `key`: that of the config which compiles to the object;
 * `place`: for people, where the config asks for the object.
 */
export type Sourced = {
  object: KubeObject & { spec?: Record<string, unknown> }
  source: string
  key?: string | undefined
  place?: string
}

/** What the user wrote for the object, as a message about it begins. */
export function keyFor({ key, source }: Sourced): string {
  return key ?? `policies: ${source}`
}

/** Where the object comes from, for people. */
export function placeOf({ source, place }: Sourced): string {
  return place ?? source
}

/** The manifests of `policies`, checked for the config's version of Istio. @throws ConfigError, see `readManifests` */
export function userManifests({ policies = [], namespace, istio }: Config): Sourced[] {
  return readManifests(policies, namespace, process.cwd(), istio?.version)
}

/**
 * Relative patterns start at `folder`. `istioVersion`: of the config, a version or a range.
 * @throws ConfigError with every fault of every file
 */
export function readManifests(
  patterns: readonly string[],
  namespace: string,
  folder = process.cwd(),
  istioVersion?: string,
): Sourced[] {
  const faults: string[] = []
  const objects = filesOf('policies', patterns, folder, faults).flatMap((file) => {
    const found = manifestsOf(file, folder)
    const own = found.faults.concat(found.manifests.flatMap((each) => faultsOf(each, namespace, istioVersion)))
    faults.push(...own.map(({ line, says }) => `policies: ${file}${line === undefined ? '' : `:${line}`}${says}`))
    return own.length > 0 ? [] : found.manifests.map(({ value, line }) => sourced(value, `${file}:${line}`, namespace))
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return objects
}

/** Manifests of any kind, as they are written. `key`: of the config, for messages. @throws ConfigError */
export function parseManifests(key: string, patterns: readonly string[], folder = process.cwd()): Sourced[] {
  const faults: string[] = []
  const found = filesOf(key, patterns, folder, faults).flatMap((file) => {
    const { manifests, faults: own } = manifestsOf(file, folder)
    faults.push(...own.map(({ line, says }) => `${key}: ${file}${line === undefined ? '' : `:${line}`}${says}`))
    const nameless = manifests.find(({ value }) => !isNamed(value))
    if (nameless)
      faults.push(`${key}: ${file}:${nameless.line}: this is no Kubernetes object; give it a kind and a name`)
    return manifests.map(({ value, line }) => ({ object: value as Sourced['object'], source: `${file}:${line}` }))
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return found
}

function isNamed(value: unknown): boolean {
  if (!isMap(value)) return false
  const { kind, metadata } = value as Partial<KubeObject>
  return typeof kind === 'string' && typeof metadata?.name === 'string'
}

function sourced(value: unknown, source: string, namespace: string): Sourced {
  return { object: cleaned(value as Sourced['object'], namespace), source }
}

function filesOf(key: string, patterns: readonly string[], folder: string, faults: string[]): string[] {
  const found = patterns.flatMap((pattern) => {
    const matches = globSync(pattern, { cwd: folder })
    const isNamed = (file: string) => file === pattern
    const files = matches.filter((file) => isFile(resolve(folder, file)) && (isNamed(file) || isManifest(file)))
    if (files.length === 0) faults.push(`${key}: ${noFile(pattern, matches)}`)
    return files
  })
  return [...new Set(found)].sort()
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false
}

/** Like kubectl with a folder, a pattern skips files such as README.md. */
function isManifest(file: string): boolean {
  return ['.yaml', '.yml', '.json'].includes(extname(file).toLowerCase())
}

function noFile(pattern: string, matches: string[]): string {
  const shown = shownPath(pattern)
  if (matches.length === 0)
    return `${shown} matches no file; check the pattern, and that the job checks the repository out first`
  if (matches.includes(pattern.replace(/\/$/, '')))
    return `${shown} is a folder; write \`${shown.replace(/\/$/, '')}/*.yaml\``
  return `${shown} matches no file that ends in .yaml, .yml or .json; it matches ${matches.slice(0, 3).join(', ')}`
}

/** `line`: where it starts. `lineOf`: of a path inside it. */
type Manifest = { value: unknown; line: number; lineOf: (path: FieldPath, key?: string) => number }
/** `says` continues after the line, or after the file if there is no line. */
type Fault = { line?: number; says: string }

function manifestsOf(file: string, folder: string): { manifests: Manifest[]; faults: Fault[] } {
  const text = decodeText(resolve(folder, file))
  if (typeof text !== 'string') return { manifests: [], faults: [{ says: ` ${text.fault}` }] }
  const documents = parseAll(text)
  const broken = documents.filter((document) => document instanceof YamlError)
  const readable = documents.filter((document): document is YamlDocument => !(document instanceof YamlError))
  const template = broken.length > 0 ? firstTemplateMark(text) : undefined
  if (template) return { manifests: [], faults: [{ line: template.line, says: `: ${templateFault(template.mark)}` }] }
  return {
    manifests: readable.flatMap(({ value, line, lineOf }) => unpacked({ value, line, lineOf })),
    faults: [
      ...broken.map(({ line, reason }) => ({ line, says: `: this is not valid YAML: ${reason}` })),
      ...readable.flatMap(lateMergeFaults),
    ],
  }
}

function lateMergeFaults({ lateMerges }: YamlDocument): Fault[] {
  return lateMerges.map(({ key, line }) => ({
    line,
    says:
      `: the merge key (\`<<\`) comes after the key \`${key}\`, which it has too: by the rule of YAML the key above ` +
      'counts, but in kubectl the `<<` does; move the `<<` to the top of its map',
  }))
}

/** A document without content has none; a `List`, or a list of one kind such as `VirtualServiceList`, has its items. */
function unpacked(manifest: Manifest): Manifest[] {
  const { value, lineOf } = manifest
  if (value === null) return []
  const { apiVersion, kind, items } = value as { apiVersion?: unknown; kind?: unknown; items?: unknown }
  if (typeof kind !== 'string' || !kind.endsWith('List') || !Array.isArray(items)) return [manifest]
  // The API server leaves the kind out of the items of a typed list.
  const typed = (item: unknown) => (isMap(item) ? { apiVersion, kind: kind.slice(0, -'List'.length), ...item } : item)
  return items.flatMap((item: unknown, i) =>
    unpacked({
      value: kind === 'List' ? item : typed(item),
      line: lineOf(['items', i]),
      lineOf: (path, key) => lineOf(['items', i, ...path], key),
    }),
  )
}

/** Only the first template of a manifest, because the other faults follow from it. */
function faultsOf({ value, lineOf }: Manifest, namespace: string, istioVersion: string | undefined): Fault[] {
  const templates = templateFaults(value).slice(0, 1)
  const faults = templates.length > 0 ? templates : manifestFaults(value, namespace, istioVersion)
  return faults.map(({ at, says }) => ({ line: lineAt(lineOf, at), says: `: ${says}` }))
}

/** The line of the key, or of the nearest parent that exists. */
function lineAt(lineOf: Manifest['lineOf'], at: ManifestFault['at']): number {
  const last = at.at(-1)
  return typeof last === 'string' ? lineOf(at.slice(0, -1), last) : lineOf(at)
}

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** The part of the object that the user wrote, without what a server added, in the API version that the run uses. */
function cleaned({ apiVersion, kind, metadata, ...content }: Sourced['object'], namespace: string): Sourced['object'] {
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => name !== lastApplied)
  const meta: Meta = {
    name: metadata.name,
    namespace: metadata.namespace ?? namespace,
    ...(metadata.labels ? { labels: metadata.labels } : {}),
    ...(annotations.length > 0 ? { annotations: Object.fromEntries(annotations) } : {}),
  }
  const fields = Object.entries(withoutNulls(content)).filter(([name]) => name !== 'status')
  return {
    apiVersion: apiVersionOf(kindOf({ apiVersion, kind })!),
    kind,
    metadata: meta,
    ...Object.fromEntries(fields),
  }
}

/** Parts without a schema: there a null is a value like any other. */
const freeForms = ['patch', 'pluginConfig']

/** Like the API server, takes a field that is null, such as `route:` with nothing behind it, for one that is not there. */
function withoutNulls<T extends object>(map: T): T {
  const fields = Object.entries(map).filter(([, value]) => value !== null)
  return Object.fromEntries(
    fields.map(([key, value]) => [key, freeForms.includes(key) ? value : withoutNullFields(value)]),
  ) as T
}

function withoutNullFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNullFields)
  return isMap(value) ? withoutNulls(value) : value
}
