// Why a commit does not reach a Deployment that Flux or Argo CD owns: what their own objects say about it.
import { isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import { titleOf, type Kind, type KubeObject, type Workload } from '../cluster/objects.ts'
import { applicationOf, isNamed } from '../canary/traffic/argo-cd.ts'
import { fluxOwnerOf } from '../canary/traffic/flux.ts'
import { readApplications } from '../canary/traffic/gitops.ts'

/** `isFault`: no commit arrives until somebody repairs it. */
export type GitopsState = { text: string; isFault: boolean }

const fluxKinds = [
  'Kustomization',
  'HelmRelease',
  'GitRepository',
  'OCIRepository',
  'Bucket',
  'HelmRepository',
  'HelmChart',
] as const satisfies Kind[]
type Reference = { kind: string; name: string; namespace?: string }
type Condition = { type: string; status: string; reason?: string; message?: string }
/** A Kustomization, a HelmRelease or a source, as far as we read it. */
type FluxObject = KubeObject & {
  spec?: {
    suspend?: boolean
    sourceRef?: Reference
    chartRef?: Reference
    chart?: { spec?: { sourceRef?: Reference } }
  }
  /** `history`: of a HelmRelease, newest first. */
  status?: { conditions?: Condition[]; lastAppliedRevision?: string; history?: { chartVersion?: string }[] }
}
/** The revisions that Argo CD compared, and applied only if `Synced`. `revisions`: of several sources. */
type Sync = { status?: string; revision?: string; revisions?: string[] }
/** An Application of Argo CD, as far as we read it. */
type Application = KubeObject & {
  spec?: { syncPolicy?: { automated?: { enabled?: boolean } | null } }
  status?: {
    conditions?: Condition[]
    operationState?: { phase?: string; message?: string }
    sync?: Sync
  }
}

/** In one sentence. Undefined if no controller owns the Deployment, or this cluster does not say more about it. Only reads. */
export async function gitopsState(cluster: Cluster, stable: Workload): Promise<GitopsState | undefined> {
  const owner = fluxOwnerOf(stable)
  return owner ? fluxState(cluster, owner) : argoCdState(cluster, stable)
}

async function fluxState(cluster: Cluster, reference: Reference): Promise<GitopsState | undefined> {
  const { object: owner, unread } = await readFlux(cluster, reference)
  if (!owner) return unread
  const { sourceRef, chartRef, chart } = owner.spec ?? {}
  const from = sourceRef ?? chartRef ?? chart?.spec?.sourceRef
  // If Flux cannot fetch the source, the owner stays ready, with what it applied before.
  const source = from && (await readFlux(cluster, { ...owner.metadata, ...from })).object
  const faults = [owner, source].flatMap((each) => (each ? fluxFaults(each) : []))
  const { lastAppliedRevision, history } = owner.status ?? {}
  const revision = lastAppliedRevision ?? history?.[0]?.chartVersion
  const text = `the ${titleOf(owner)} has applied ${revision ?? 'nothing yet'}`
  const state = faults.length > 0 ? { text: faults.join('; '), isFault: true } : { text, isFault: false }
  const applying = fluxOwnerOf(owner)
  // A commit changes a HelmRelease only through the Kustomization that applies it.
  if (owner.kind !== 'HelmRelease' || applying?.kind !== 'Kustomization') return state
  return joined(state, await fluxState(cluster, applying))
}

/** The faults, or what both say. Both may have the same source. */
function joined(state: GitopsState, other: GitopsState | undefined): GitopsState {
  if (!other || (state.isFault && !other.isFault) || state.text.endsWith(other.text)) return state
  if (other.isFault && !state.isFault) return other
  return { text: `${state.text}; ${other.text}`, isFault: state.isFault }
}

/** `unread`: what is to be said where the object cannot be read. */
async function readFlux(
  cluster: Cluster,
  { kind, name, namespace }: Reference,
): Promise<{ object?: FluxObject; unread?: GitopsState }> {
  const known = fluxKinds.find((each) => each === kind)
  if (known === undefined) return {}
  const title = titleOf({ apiVersion: '', kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } })
  try {
    const found = await cluster.get<FluxObject>(known, namespace, name)
    if (found) return { object: { ...found, kind } }
    return { unread: { text: `the ${title} that it belongs to is not in this cluster`, isFault: false } }
  } catch (problem) {
    if (!isForbidden(problem)) return {}
    const text = `this run may not read the ${title}, which would say more (docs/gitops.md)`
    return { unread: { text, isFault: false } }
  }
}

function fluxFaults(object: FluxObject): string[] {
  const ready = object.status?.conditions?.find(({ type }) => type === 'Ready')
  if (object.spec?.suspend) return [`the ${titleOf(object)} is suspended`]
  return ready?.status === 'False' ? [`the ${titleOf(object)} is not ready (${describe(ready)})`] : []
}

async function argoCdState(cluster: Cluster, stable: Workload): Promise<GitopsState | undefined> {
  const applications: Application[] = await readApplications(cluster)
  const name = applicationOf(stable, applications)
  const application = applications.find((each) => name !== undefined && isNamed(each, name))
  if (!application) return undefined
  const title = `the Application ${name}`
  const { conditions = [], operationState: { phase = '', message = '' } = {}, sync } = application.status ?? {}
  const error = conditions.find(({ type }) => type.endsWith('Error'))
  if (error) return { text: `${title} has an error (${describe({ ...error, reason: error.type })})`, isFault: true }
  // Between retries, the phase is still Running.
  if (['Failed', 'Error'].includes(phase) || /failed to apply|retrying attempt/i.test(message))
    return { text: `the last sync of ${title} failed (${shortened(message)})`, isFault: true }
  const { automated } = application.spec?.syncPolicy ?? {}
  if (!automated || automated.enabled === false)
    return { text: `${title} syncs only when somebody asks it to`, isFault: false }
  const text = sync && syncText(sync, message)
  return text === undefined ? undefined : { text: `${title} ${text}`, isFault: false }
}

function syncText({ status, revision, revisions }: Sync, message: string): string | undefined {
  const compared = [revisions ?? revision ?? []].flat().join(', ')
  if (status === 'Synced' && compared) return `has synced ${compared}`
  if (status === undefined) return undefined
  const at = compared && ` at ${compared}`
  return `is ${status}${at}${message && ` (${shortened(message)})`}`
}

function describe({ reason, message = '' }: Condition): string {
  return [reason, shortened(message)].filter(Boolean).join(': ')
}

const longest = 300

/** Flux appends the whole output of a failed build. */
function shortened(message: string): string {
  const line = message.replace(/\s+/g, ' ').trim()
  return line.length > longest ? `${line.slice(0, longest)}…` : line
}
