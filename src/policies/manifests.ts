// Reads the user's own manifests as policies, each with its file and line.
import { globSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  apiVersionOf,
  groupOf,
  kindOf,
  systemNamespace,
  type Kind,
  type KubeObject,
  type Meta,
} from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { nearest } from '../config/nearest.ts'
import { decodeText } from '../config/read.ts'
import { shownPath } from '../config/shown.ts'
import { YamlError } from '../yaml/faults.ts'
import { parseAll } from '../yaml/parse.ts'
import { schemaFaults } from './manifest-schema.ts'

/** An object and its source: `file:line`, or a section of the config. */
export type Sourced = { object: KubeObject & { spec?: Record<string, unknown> }; source: string }

/** The kinds that the user's files may hold, and that a run may delete when its config no longer asks for them. */
export const policyKinds = [
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'ServiceEntry',
  'WorkloadEntry',
  'WorkloadGroup',
  'Sidecar',
  'Gateway',
  'Gateway.gateway.networking.k8s.io',
  'Telemetry',
  'EnvoyFilter',
  'ProxyConfig',
  'WasmPlugin',
  'TrafficExtension',
  'DestinationRule',
  'VirtualService',
  'HTTPRoute',
  'GRPCRoute',
] as const satisfies Kind[]

/** @throws ConfigError with every fault of every file. Relative patterns start at `folder`. */
export function readManifests(patterns: readonly string[], namespace: string, folder = process.cwd()): Sourced[] {
  const faults: string[] = []
  const objects = filesOf(patterns, folder, faults).flatMap((file) => documentsOf(file, folder, namespace, faults))
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return objects
}

function filesOf(patterns: readonly string[], folder: string, faults: string[]): string[] {
  const found = patterns.flatMap((pattern) => {
    const files = globSync(pattern, { cwd: folder }).filter((file) =>
      statSync(resolve(folder, file), { throwIfNoEntry: false })?.isFile(),
    )
    if (files.length === 0)
      faults.push(
        `policies: ${shownPath(pattern)} matches no file; check the pattern, and that the job checks the repository out first`,
      )
    return files
  })
  return [...new Set(found)].sort()
}

function documentsOf(file: string, folder: string, namespace: string, faults: string[]): Sourced[] {
  const text = decodeText(resolve(folder, file))
  if (typeof text !== 'string') return (faults.push(`policies: ${file} ${text.fault}`), [])
  return parseAll(text).flatMap((document) => {
    if (document instanceof YamlError)
      return (faults.push(`policies: ${file}:${document.line}: this is not valid YAML: ${document.reason}`), [])
    const { value, line, lineOf } = document
    if (value === null) return []
    const fault = faultOf(value, namespace)
    // If the value is missing, `lineOf` gives the line of its parent.
    if (fault) return (faults.push(`policies: ${file}:${lineOf(fault.at)}: ${fault.says}`), [])
    return [{ object: cleaned(value as Sourced['object'], namespace), source: `${file}:${line}` }]
  })
}

type Fault = { at: (string | number)[]; says: string }

function faultOf(value: unknown, namespace: string): Fault | undefined {
  if (typeof value !== 'object' || Array.isArray(value))
    return { at: [], says: 'the document is not an object; it must have apiVersion, kind, metadata and spec' }
  const { apiVersion, kind, metadata } = value as Partial<KubeObject>
  if (typeof kind !== 'string' || kind === '')
    return { at: [], says: 'the document has no `kind`; add it, such as `kind: VirtualService`' }
  if (typeof apiVersion !== 'string')
    return {
      at: ['kind'],
      says: `the ${kind} has no \`apiVersion\`; add it, such as \`apiVersion: networking.istio.io/v1\``,
    }
  const known = kindOf({ apiVersion, kind })
  if (!known || !(policyKinds as readonly Kind[]).includes(known))
    return { at: ['kind'], says: notPolicy(apiVersion, kind) }
  if (typeof metadata?.name !== 'string' || metadata.name === '')
    return { at: ['metadata'], says: `the ${kind} has no \`metadata.name\`; add one` }
  const place = metadata.namespace ?? namespace
  if (place !== namespace && place !== systemNamespace)
    return {
      at: ['metadata', 'namespace'],
      says:
        `the ${kind} ${metadata.name} is for the namespace ${place}, but a run writes only to its own namespace ` +
        `(${namespace}) and to ${systemNamespace}; move it to a config of that namespace`,
    }
  const wrong = schemaFaults(known, value!)
  return wrong && { at: wrong.path, says: `the ${kind} ${metadata.name}: ${wrong.says}` }
}

function notPolicy(apiVersion: string, kind: string): string {
  const kinds = [...new Set(policyKinds.map((each) => each.split('.')[0]!))]
  const group = groupOf(apiVersion)
  const ofMesh = group.endsWith('.istio.io') || group === 'gateway.networking.k8s.io'
  if (!ofMesh)
    return (
      `the kind ${kind} (${apiVersion}) belongs neither to Istio nor to the Gateway API; ` +
      '`policies` takes only their kinds, so deploy it with the application'
    )
  const right = policyKinds.find((each) => each.split('.')[0] === kind)
  if (right) return `the kind ${kind} does not belong to ${apiVersion}; write \`apiVersion: ${apiVersionOf(right)}\``
  return `the kind ${kind} (${apiVersion}) is unknown${nearest(kind, kinds)}`
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
  const fields = Object.entries(content).filter(([name]) => name !== 'status')
  return {
    apiVersion: apiVersionOf(kindOf({ apiVersion, kind })!),
    kind,
    metadata: meta,
    ...Object.fromEntries(fields),
  }
}
