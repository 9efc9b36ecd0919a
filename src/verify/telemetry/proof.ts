// Sends requests through the application, and shows that their metric, trace and access log line arrive, or why not.
import type { Pod, Service } from '../../cluster/objects.ts'
import { labelsOf } from '../../envoy/counters.ts'
import { hasRunningSidecar } from '../../mesh/sidecar.ts'
import { podsBehind } from '../../cluster/labels.ts'
import { messageOf } from '../../runtime/errors.ts'
import { poll } from '../../runtime/retry.ts'
import { chooseEntry } from './entry.ts'
import { logProof } from './log-proof.ts'
import { metricsProof } from './metrics-proof.ts'
import { sendRequest } from './request.ts'
import { grown, readRequests, reportedBy } from './sidecar-requests.ts'
import { traceProof } from './trace-proof.ts'
import type { Application, Finding, Proof, ProofDeps, SentRequest, TelemetryRow } from './types.ts'

/** After so long, another request is sent: a sidecar may have got its configuration only after the first. */
const roundMs = 15_000
const lookMs = 1_000

/** One row for each part of the section `observability`; none if the config asks for no proof. */
export async function proveTelemetry(deps: ProofDeps): Promise<TelemetryRow[]> {
  const { observability } = deps.config
  if (!observability?.proof.enabled) return []
  const { metrics, traces, logs } = observability
  const app = metrics || traces || logs ? await findApplication(deps) : undefined
  if (!app) return []
  const parts = (['metrics', 'traces', 'logs'] as const).filter((part) => observability[part])
  if (typeof app === 'string') return parts.map((what) => ({ what, ...unsendable(deps, app) }))
  const proofs = [
    ...(metrics ? [metricsProof(deps, app)] : []),
    ...(traces ? [traceProof(deps, app)] : []),
    ...(logs ? [logProof(deps, app)] : []),
  ]
  return prove(deps, app, proofs)
}

async function findApplication({ cluster, config }: ProofDeps): Promise<Application | string> {
  const [services, all] = await Promise.all([
    cluster.list<Service>('Service', config.namespace),
    cluster.list<Pod>('Pod', config.namespace),
  ])
  const pods = all.filter(hasRunningSidecar)
  const entry = chooseEntry(config, services, pods)
  return typeof entry === 'string' ? entry : { entry, services, pods }
}

/** A service that the config names has to be there; an application without HTTP shows nothing. */
function unsendable({ config }: ProofDeps, reason: string): Finding {
  const text = `no request can be sent through the application: ${reason}`
  return config.observability?.proof.service === undefined ? { text } : { ok: false, text }
}

async function prove(deps: ProofDeps, app: Application, proofs: Proof[]): Promise<TelemetryRow[]> {
  const { clock, config, signal } = deps
  const findings = new Map<Proof, Finding>()
  const requests: SentRequest[] = []
  const deadline = clock.now() + config.observability!.proof.timeout
  const look = async () => {
    for (const proof of proofs.filter((each) => !findings.has(each))) {
      const finding = await proof.findArrival(requests)
      if (finding) findings.set(proof, finding)
    }
    return findings.size === proofs.length
  }
  let unsent: Finding | undefined
  do {
    const sent = await send(deps, app)
    if ('traceId' in sent) requests.push(sent)
    else unsent = sent
    if (requests.length === 0 && unsent?.ok === undefined) break
    if (requests.length === 0) await clock.sleep(lookMs, signal)
    else
      await poll(look, (isDone) => isDone, {
        limitMs: Math.min(roundMs, Math.max(0, deadline - clock.now())),
        intervalMs: lookMs,
        signal,
        clock,
      })
  } while (findings.size < proofs.length && clock.now() < deadline)
  const explain = (proof: Proof) => (requests.length === 0 ? unsent! : proof.explainAbsence(requests))
  const rows = proofs.map(async (proof) => ({ what: proof.what, ...(findings.get(proof) ?? (await explain(proof))) }))
  return Promise.all(rows)
}

/** The request; or why there is none, which is no fault if the program cannot speak what the service speaks. */
async function send(deps: ProofDeps, app: Application): Promise<SentRequest | Finding> {
  const { service, pod } = app.entry
  try {
    const sent = await sendCounted(deps, app)
    return typeof sent === 'string' ? { text: `no request can be sent through the application: ${sent}` } : sent
  } catch (error) {
    return { ok: false, text: `the request to ${service} (pod ${pod.metadata.name}) failed: ${messageOf(error)}` }
  }
}

async function sendCounted(deps: ProofDeps, app: Application): Promise<SentRequest | string> {
  const { cluster, clock, config, forward, signal } = deps
  const before = await readRequests(cluster, app.pods)
  const at = clock.now()
  const count = (way: SentRequest['way'], status?: number) => {
    const isCounted = (after: SentRequest['after']) => countingPod(app, { way, before, after }, status) !== undefined
    const options = { limitMs: 3_000, intervalMs: 300, signal, clock }
    return poll(() => readRequests(cluster, app.pods), isCounted, options)
  }
  const isCountedWith = async (status: number) =>
    countingPod(app, { way: 'gateway', before, after: await count('gateway', status) }, status) !== undefined
  const answer = await sendRequest(cluster, forward, config, app.entry, isCountedWith)
  if (typeof answer === 'string') return answer
  const after = await count(answer.way)
  const pod = countingPod(app, { way: answer.way, before, after }) ?? app.entry.pod.metadata.name
  return { ...answer, at, pod, before, after }
}

/**
 * The pod behind the entry whose sidecar has counted a request, with this status: the entry's own, unless a gateway chose
 * another.
 */
function countingPod(
  { entry, services, pods }: Application,
  { way, before, after }: Pick<SentRequest, 'way' | 'before' | 'after'>,
  status?: number,
): string | undefined {
  const service = services.find(({ metadata }) => metadata.name === entry.service)!
  const names = (way === 'gateway' ? podsBehind(service, pods) : [entry.pod]).map(({ metadata }) => metadata.name)
  const reporter = way === 'past-sidecar' ? 'source' : 'destination'
  return names.find((name) =>
    [...reportedBy(reporter, grown(before, after, name) ?? new Map<string, number>()).keys()].some(
      (series) => status === undefined || labelsOf(series)['response_code'] === String(status),
    ),
  )
}
