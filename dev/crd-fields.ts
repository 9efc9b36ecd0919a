// Generates two tables of fields. src/policies/manifests/crd-fields.json: the objects that `policies` takes, from the
// CRDs of each supported minor version of Istio and from those of the Gateway API. src/engines/convert/crd-fields.json:
// the objects that `convert` reads and writes, from the CRDs of Flagger and Argo Rollouts. Needs Go and its module proxy,
// so it runs by hand, with `node dev/crd-fields.ts`, when one of the versions changes. Field names and types are facts of
// these Apache-2.0 projects; their descriptions are left out.
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { kindOf, type KubeObject } from '../src/cluster/objects.ts'
import { policyKinds } from '../src/policies/policy-kinds.ts'

/** The newest release of each supported minor version, oldest first. */
const istio = { '1.30': 'v1.30.8', '1.31': 'v1.31.4' }
/** Its experimental channel has every field of the standard one. */
const gatewayApi = 'v1.6.0'
const engines = { Flagger: 'v1.36.1', 'Argo Rollouts': 'v1.10.1' }
/** Of Kubernetes, and long: `convert` does not look inside. */
const opaqueFields = ['template', 'selector', 'job']

type Schema = {
  type?: string
  enum?: unknown[]
  required?: string[]
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema | boolean
  'x-kubernetes-preserve-unknown-fields'?: boolean
  'x-kubernetes-int-or-string'?: boolean
  /** The first minor version that has this field; undefined if the oldest has it. */
  since?: string
}
type Crd = KubeObject & {
  spec: {
    group: string
    names: { kind: string }
    versions: { name: string; schema: { openAPIV3Schema: Schema } }[]
  }
}

function crdsOf(module: string, version: string, pattern: string): Crd[] {
  const download = execFileSync('go', ['mod', 'download', '-json', `${module}@${version}`], { encoding: 'utf8' })
  const { Dir: folder } = JSON.parse(download) as { Dir: string }
  return globSync(pattern, { cwd: folder })
    .flatMap((file) => loadAll(withoutDescriptions(readFileSync(join(folder, file), 'utf8'))) as (Crd | null)[])
    .filter((crd) => crd?.kind === 'CustomResourceDefinition') as Crd[]
}

/** js-yaml rejects quoted descriptions of several lines that are indented as Flagger's are. */
function withoutDescriptions(text: string): string {
  return text.replace(/description: '(?:[^']|'')*'/g, "description: ''")
}

/** Our name of a kind that `policies` takes. */
function policyKind({ spec }: Crd): string | undefined {
  const kind = kindOf({ apiVersion: `${spec.group}/v1`, kind: spec.names.kind })
  return kind && (policyKinds as readonly string[]).includes(kind) ? kind : undefined
}

const engineKinds = [
  'Canary',
  'MetricTemplate',
  'AlertProvider',
  'Rollout',
  'AnalysisTemplate',
  'ClusterAnalysisTemplate',
]
function engineKind({ spec }: Crd): string | undefined {
  return engineKinds.find((kind) => kind === spec.names.kind)
}

/** The schemas of each kind that `nameOf` names, in all of its API versions together. */
function schemasOf(crds: Crd[], nameOf: (crd: Crd) => string | undefined): Map<string, Schema> {
  const schemas = new Map<string, Schema>()
  for (const crd of crds) {
    const { spec } = crd
    const kind = nameOf(crd)
    if (kind === undefined) continue
    schemas.set(
      kind,
      spec.versions.map(({ schema }) => contentOf(schema.openAPIV3Schema)).reduce((a, b) => union(a, b)),
    )
  }
  return schemas
}

/** Without what every object has, and what only the server writes. */
function contentOf({ properties = {}, ...rest }: Schema): Schema {
  const { apiVersion, kind, metadata, status, ...content } = properties
  return { ...rest, properties: content, required: (rest.required ?? []).filter((name) => name in content) }
}

/** `since`: the version of Istio that `b` is of, if `a` is of an older one. */
function union(a: Schema, b: Schema, since?: string): Schema {
  const names = [...new Set([...Object.keys(a.properties ?? {}), ...Object.keys(b.properties ?? {})])].sort()
  const both = <T>(first: T | undefined, second: T | undefined, join: (first: T, second: T) => T) =>
    first && second ? join(first, second) : (first ?? second)
  const join = (first: Schema, second: Schema) => union(first, second, since)
  const properties = names.map((name): [string, Schema] => {
    const [old, added] = [a.properties?.[name], b.properties?.[name]]
    return [name, old ? join(old, added ?? old) : { ...added, ...(since === undefined ? {} : { since }) }]
  })
  const items = both(a.items, b.items, join)
  const values = both(valuesOf(a), valuesOf(b), join)
  return {
    ...a,
    ...(a.type === b.type ? {} : { type: 'any' }),
    ...(a.enum && b.enum ? { enum: [...new Set([...a.enum, ...b.enum])] } : {}),
    ...(names.length > 0 ? { properties: Object.fromEntries(properties) } : {}),
    ...(items ? { items } : {}),
    ...(values ? { additionalProperties: values } : {}),
    required: (a.required ?? []).filter((name) => b.required?.includes(name)),
  }
}

function valuesOf({ additionalProperties: values }: Schema): Schema | undefined {
  return typeof values === 'object' ? values : undefined
}

/** Equal maps of fields share one definition. */
class Definitions {
  private readonly indexes = new Map<string, number>()
  private readonly opaque: readonly string[]

  /** `opaque`: fields whose content is not described. */
  constructor(opaque: readonly string[] = []) {
    this.opaque = opaque
  }

  /** The type as text (see src/policies/manifests/field-checker.ts). */
  typeOf(schema: Schema): string {
    if (schema['x-kubernetes-int-or-string']) return 'intOrString'
    if (schema['x-kubernetes-preserve-unknown-fields']) return 'any'
    if (schema.type === 'array') return `[]${this.typeOf(schema.items ?? {})}`
    if (schema.enum) return schema.enum.map(String).join('|')
    if (schema.type !== 'object') return schema.type ?? 'any'
    const values = valuesOf(schema)
    return values ? `{}${this.typeOf(values)}` : `#${this.definitionOf(schema)}`
  }

  private definitionOf({ properties = {}, required = [] }: Schema): number {
    const fields = Object.entries(properties).map(([name, schema]) => {
      const isOpaque = this.opaque.includes(name) && schema.type === 'object'
      const type = isOpaque ? 'any' : this.typeOf(schema)
      return [name, `${type}${required.includes(name) ? '!' : ''}${schema.since ? `@${schema.since}` : ''}`]
    })
    const text = JSON.stringify(Object.fromEntries(fields))
    const index = this.indexes.get(text) ?? this.indexes.size
    this.indexes.set(text, index)
    return index
  }

  texts(): string[] {
    return [...this.indexes.keys()]
  }
}

/** Begins with one key that says what the table is of. */
function writeTable(
  file: string,
  [key, value]: [string, unknown],
  schemas: Map<string, Schema>,
  opaque?: string[],
): void {
  const definitions = new Definitions(opaque)
  const kinds = [...schemas].sort().map(([kind, schema]) => [kind, definitions.typeOf(schema)])
  const lines = (texts: string[]) => texts.map((text) => `    ${text}`).join(',\n')
  writeFileSync(
    file,
    `{
  "${key}": ${JSON.stringify(value)},
  "kinds": {
${lines(kinds.map(([kind, type]) => `${JSON.stringify(kind)}: ${JSON.stringify(type)}`))}
  },
  "definitions": [
${lines(definitions.texts())}
  ]
}
`,
  )
}

function policyTable(): void {
  const perVersion = Object.entries(istio).map(([minor, version]): [string, Map<string, Schema>] => [
    minor,
    schemasOf(crdsOf('istio.io/api', version, 'kubernetes/customresourcedefinitions.gen.yaml'), policyKind),
  ])
  const schemas = schemasOf(crdsOf('sigs.k8s.io/gateway-api', gatewayApi, 'config/crd/experimental/*.yaml'), policyKind)
  for (const [minor, all] of perVersion)
    for (const [kind, schema] of all) {
      const older = schemas.get(kind)
      schemas.set(kind, older ? union(older, schema, minor) : schema)
    }
  writeTable('src/policies/manifests/crd-fields.json', ['istio', Object.keys(istio)], schemas)
}

function engineTable(): void {
  const schemas = schemasOf(
    [
      ...crdsOf('github.com/fluxcd/flagger', engines.Flagger, 'artifacts/flagger/crd.yaml'),
      ...crdsOf('github.com/argoproj/argo-rollouts', engines['Argo Rollouts'], 'manifests/crds/*-crd.yaml'),
    ],
    engineKind,
  )
  writeTable('src/engines/convert/crd-fields.json', ['engines', engines], schemas, opaqueFields)
}

policyTable()
engineTable()
