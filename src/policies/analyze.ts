// istioctl's analysis of the cluster as it will be: what is there, with what is about to be written and without what goes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KubeObject } from '../cluster/objects.ts'
import { run } from '../tools/run.ts'
import { stringify } from '../yaml/stringify.ts'
import type { Planned } from './plan.ts'

/** A sentence each, with code, object and message. */
export type Analysis = { errors: string[]; warnings: string[] }
export type AnalyzeOptions = {
  istioctl: string
  cliArgs: readonly string[]
  namespace: string
  suppress: readonly string[]
  tempDir: string
  signal: AbortSignal
}

/** Of what is there once the plan is carried out. Rejects when istioctl cannot analyze at all. */
export async function analyze(
  planned: readonly Planned[],
  { istioctl, cliArgs, namespace, suppress, tempDir, signal }: AnalyzeOptions,
): Promise<Analysis> {
  const folder = await mkdtemp(join(tempDir, 'mesh-canary-analyze-'))
  try {
    const file = join(folder, 'new.yaml')
    const documents = planned.flatMap(({ action, object }) =>
      action === 'unchanged' ? [] : action === 'delete' ? husk(object) : object,
    )
    await writeFile(file, documents.map(stringify).join('---\n'))
    const files = documents.length > 0 ? [file] : []
    const { code, stdout, stderr } = await run(
      istioctl,
      ['analyze', ...files, '--use-kube', '-n', namespace, '-o', 'json', ...cliArgs],
      signal,
    )
    const messages = messagesOf(stdout)
    if (!messages)
      throw new Error(
        `istioctl analyze (exit code ${code}) gave no result: ${stderr.trim().split('\n').slice(-3).join(' ') || 'it said nothing'}`,
      )
    return judged(
      messages,
      suppress,
      planned.filter(({ action }) => action === 'delete').map(({ object }) => object),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Of pods, which no pod is. */
const nobody = { 'mesh-canary.io/analyze': 'nobody' }
const selecting: Record<string, object> = {
  ...Object.fromEntries(
    [
      'PeerAuthentication',
      'RequestAuthentication',
      'AuthorizationPolicy',
      'Telemetry',
      'ProxyConfig',
      'WasmPlugin',
      'TrafficExtension',
    ].map((kind) => [kind, { selector: { matchLabels: nobody } }]),
  ),
  ...Object.fromEntries(['Sidecar', 'EnvoyFilter'].map((kind) => [kind, { workloadSelector: { labels: nobody } }])),
}

/**
 * istioctl cannot be told that an object goes, but takes one from a file for the live one of its name: one without hosts,
 * subsets and servers, for no pod, stands for none. Where it is missed, istioctl says so of whoever needs it; what it says of
 * the husk itself is not heard.
 */
function husk({ apiVersion, kind, metadata: { name, namespace } }: KubeObject): KubeObject & { spec: object } {
  return {
    apiVersion,
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: selecting[kind] ?? {},
  }
}

export type Message = { code?: string; level?: string; message?: string; origin?: string; reference?: string }

/** The list in what istioctl printed; `null` is an empty one. Undefined when there is none. */
export function messagesOf(stdout: string): Message[] | undefined {
  const start = stdout.search(/^\s*(\[|null)/m)
  if (start < 0) return undefined
  try {
    const value: unknown = JSON.parse(stdout.slice(start))
    return Array.isArray(value) ? (value as Message[]) : []
  } catch {
    return undefined
  }
}

const hostNotInGateway = 'IST0132'

/** Of an object that goes nothing is heard; a route that is left without its gateway has lost more than istioctl sees. */
export function judged(
  messages: readonly Message[],
  suppress: readonly string[],
  gone: readonly KubeObject[] = [],
): Analysis {
  const names = gone.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)
  const heard = messages.filter(({ code, origin }) => !suppress.includes(code ?? '') && !names.includes(origin ?? ''))
  const severe = ({ code, message = '' }: Message) =>
    code === hostNotInGateway && names.some((name) => message.endsWith(`not found in ${name}.`))
  const told = (wanted: RegExp) => [
    ...new Set(heard.filter((each) => wanted.test(severe(each) ? 'Error' : (each.level ?? ''))).map(sentence)),
  ]
  return { errors: told(/^error$/i), warnings: told(/^warn(ing)?$/i) }
}

function sentence({ code = 'no code', origin, message = '' }: Message): string {
  return `${code}: ${origin === undefined ? '' : `${origin}: `}${message}`
}
