// Runs istioctl's analysis of the cluster as it will be after the run: with the objects that the plan writes, and
// without those that it deletes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { titleOf, type DestinationRule, type KubeObject } from '../cluster/objects.ts'
import { createdCanaryLabel } from '../config/names.ts'
import { messagesIn, withoutResult, type Message } from '../mesh/analysis-messages.ts'
import { revisionArgs } from '../mesh/labels.ts'
import { runProgram } from '../tools/run.ts'
import { stringify } from '../yaml/stringify.ts'
import { isForSidecarsOnly } from './merge/merge-hosts.ts'
import type { PlannedChange } from './plan.ts'

/** One sentence for each message: its code, object and text. */
export type Analysis = { errors: string[]; warnings: string[] }
export type AnalyzeOptions = {
  istioctl: string
  cliArgs: readonly string[]
  namespace: string
  /** The revision of the control plane, if the config has one. */
  revision?: string | undefined
  /** Codes of messages to leave out, such as `IST0102`. */
  suppress: readonly string[]
  tempDir: string
  signal: AbortSignal
}

/** Runs `istioctl analyze` on the cluster together with the plan. Rejects when istioctl cannot analyze at all. */
export async function analyze(
  planned: readonly PlannedChange[],
  { istioctl, cliArgs, namespace, revision, suppress, tempDir, signal }: AnalyzeOptions,
): Promise<Analysis> {
  const folder = await mkdtemp(join(tempDir, 'mesh-canary-analyze-'))
  try {
    const documents = planned.flatMap(documentsOf)
    const file = join(folder, 'new.yaml')
    await writeFile(file, documents.map(stringify).join('---\n'))
    const files = documents.length > 0 ? [file] : []
    const asked = ['--use-kube', '-n', namespace, ...revisionArgs(revision), '-o', 'json']
    const args = ['analyze', ...files, ...asked, ...cliArgs]
    const { code, stdout, stderr } = await runProgram(istioctl, args, signal)
    const messages = messagesIn(stdout)
    if (!messages) throw withoutResult('istioctl analyze', code, stderr)
    const deleted = planned.filter(({ action }) => action === 'delete').map(({ object }) => object)
    return classify(withoutCreatedCanaries(withoutPortsOfCallers(messages, planned), planned), suppress, deleted)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function documentsOf({ action, object }: PlannedChange): KubeObject[] {
  if (action === 'unchanged') return []
  return [action === 'delete' ? placeholder(object) : object]
}

/** No pod has this label. */
const noPod = { 'mesh-canary.io/analyze': 'nobody' }
const selectorKinds = [
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
  'Telemetry',
  'ProxyConfig',
  'WasmPlugin',
  'TrafficExtension',
]
const workloadSelectorKinds = ['Sidecar', 'EnvoyFilter']

/**
 * Replaces an object that the plan deletes. istioctl cannot simulate a deletion, but prefers an object in a file to the
 * live one of that name. Without hosts, subsets and servers, and with a selector for no pod, the object has no effect.
 * If others need it, istioctl reports that on them. `classify` drops the messages on the placeholder itself.
 */
function placeholder({ apiVersion, kind, metadata: { name, namespace } }: KubeObject): KubeObject & { spec: object } {
  return {
    apiVersion,
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: selectNoPod(kind),
  }
}

function selectNoPod(kind: string): object {
  if (selectorKinds.includes(kind)) return { selector: { matchLabels: noPod } }
  return workloadSelectorKinds.includes(kind) ? { workloadSelector: { labels: noPod } } : {}
}

const portRequired = 'IST0112'

/**
 * Leaves out that a destination names no port although its service has several, for routes of sidecars only: there the
 * request keeps the port that the caller addressed. At a gateway it would have the gateway's port.
 */
export function withoutPortsOfCallers(messages: readonly Message[], planned: readonly PlannedChange[]): Message[] {
  const routes = planned.map(({ object }) => object).filter(({ kind }) => kind === 'VirtualService')
  const titles = routes.filter(isForSidecarsOnly).map(titleOf)
  return messages.filter(({ code, origin }) => code !== portRequired || !titles.includes(origin ?? ''))
}

const subsetWithoutPods = 'IST0173'

/** Leaves out that no pod is in the subset of a canary that the run creates: its promotion does that before any weight. */
function withoutCreatedCanaries(messages: readonly Message[], planned: readonly PlannedChange[]): readonly Message[] {
  const created = planned.flatMap(({ object }) =>
    object.kind === 'DestinationRule' ? createdSubsets(object as DestinationRule) : [],
  )
  return messages.filter(
    ({ code, origin, message = '' }) =>
      code !== subsetWithoutPods ||
      !created.some((each) => each.title === origin && message.includes(`Subset ${each.name} `)),
  )
}

function createdSubsets(rule: DestinationRule): { title: string; name: string }[] {
  const own = (rule.spec.subsets ?? []).filter(({ labels = {} }) => labels[createdCanaryLabel] !== undefined)
  return own.map(({ name }) => ({ title: titleOf(rule), name }))
}

const hostNotInGateway = 'IST0132'

/**
 * Sorts the messages by level, and drops those on objects that the plan deletes. A route that loses its gateway is an
 * error, although istioctl only warns.
 */
export function classify(
  messages: readonly Message[],
  suppress: readonly string[],
  deleted: readonly KubeObject[] = [],
): Analysis {
  const titles = deleted.map(titleOf)
  const relevant = messages.filter(
    ({ code, origin }) => !suppress.includes(code ?? '') && !titles.includes(origin ?? ''),
  )
  const losesGateway = ({ code, message = '' }: Message) =>
    code === hostNotInGateway && titles.some((title) => message.endsWith(`not found in ${title}.`))
  const levelOf = (message: Message) => (losesGateway(message) ? 'Error' : (message.level ?? ''))
  const ofLevel = (level: RegExp) => [...new Set(relevant.filter((each) => level.test(levelOf(each))).map(sentence))]
  return { errors: ofLevel(/^error$/i), warnings: ofLevel(/^warn(ing)?$/i) }
}

function sentence({ code = 'no code', origin, message = '' }: Message): string {
  return `${code}: ${origin === undefined ? '' : `${origin}: `}${message}`
}
