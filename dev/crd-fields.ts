// Generates src/policies/crd-fields.json: the fields of the objects that `policies` takes, from the CRDs of each
// supported minor version of Istio and from those of the Gateway API. Needs Go and its module proxy, so it runs by
// hand, with `node dev/crd-fields.ts`, when Istio's supported versions change. Field names and types are facts of the
// Apache-2.0 projects Istio and Gateway API; their descriptions are left out.
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
    .flatMap((file) => loadAll(readFileSync(join(folder, file), 'utf8')) as (Crd | null)[])
    .filter((crd) => crd?.kind === 'CustomResourceDefinition') as Crd[]
}

/** The schemas of each kind, in all of its API versions together. */
function schemasOf(crds: Crd[]): Map<string, Schema> {
  const schemas = new Map<string, Schema>()
  for (const { spec } of crds) {
    const kind = kindOf({ apiVersion: `${spec.group}/v1`, kind: spec.names.kind })
    if (!kind || !(policyKinds as readonly string[]).includes(kind)) continue
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

const definitions = new Map<string, number>()

/** The type as text (see src/policies/manifest-schema.ts). Equal maps of fields share one definition. */
function typeOf(schema: Schema): string {
  if (schema['x-kubernetes-int-or-string']) return 'intOrString'
  if (schema['x-kubernetes-preserve-unknown-fields']) return 'any'
  if (schema.type === 'array') return `[]${typeOf(schema.items ?? {})}`
  if (schema.enum) return schema.enum.map(String).join('|')
  if (schema.type !== 'object') return schema.type ?? 'any'
  const values = valuesOf(schema)
  return values ? `{}${typeOf(values)}` : `#${definitionOf(schema)}`
}

function definitionOf({ properties = {}, required = [] }: Schema): number {
  const fields = Object.entries(properties).map(([name, schema]) => [
    name,
    `${typeOf(schema)}${required.includes(name) ? '!' : ''}${schema.since ? `@${schema.since}` : ''}`,
  ])
  const text = JSON.stringify(Object.fromEntries(fields))
  const index = definitions.get(text) ?? definitions.size
  definitions.set(text, index)
  return index
}

const perVersion = Object.entries(istio).map(([minor, version]): [string, Map<string, Schema>] => [
  minor,
  schemasOf(crdsOf('istio.io/api', version, 'kubernetes/customresourcedefinitions.gen.yaml')),
])
const schemas = schemasOf(crdsOf('sigs.k8s.io/gateway-api', gatewayApi, 'config/crd/experimental/*.yaml'))
for (const [minor, all] of perVersion)
  for (const [kind, schema] of all) {
    const older = schemas.get(kind)
    schemas.set(kind, older ? union(older, schema, minor) : schema)
  }
const kinds = [...schemas].sort().map(([kind, schema]) => [kind, `#${definitionOf(schema)}`])
const lines = (texts: string[]) => texts.map((text) => `    ${text}`).join(',\n')
writeFileSync(
  'src/policies/crd-fields.json',
  `{
  "istio": ${JSON.stringify(Object.keys(istio))},
  "kinds": {
${lines(kinds.map(([kind, type]) => `${JSON.stringify(kind)}: ${JSON.stringify(type)}`))}
  },
  "definitions": [
${lines([...definitions.keys()])}
  ]
}
`,
)
