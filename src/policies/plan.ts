// What an apply would do, before it does anything: by the cluster's own dry run, or, without a cluster, the objects as YAML.
import { isDeepStrictEqual } from 'node:util'
import { ApiError, fieldManager, type Cluster } from '../cluster/client.ts'
import {
  type Destination,
  type DestinationRule,
  type HttpRoute,
  keyOf,
  type Kind,
  kindOf,
  type KubeObject,
  type VirtualService,
} from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { stringify } from '../yaml/stringify.ts'
import { isUnclaimed, marked, obsolete, ownedBy, foreignOwner, type Owner } from './prune.ts'
import { fullHost } from './routes.ts'

export type Action = 'create' | 'change' | 'unchanged' | 'delete'
/**
 * `object` is what is to be applied, or, for `delete`, what is live; `before` is what is live.
 * `diff`: lines such as `- spec.http[0].timeout: 10s` and `+ spec.http[0].timeout: 5s`, of labels and spec.
 */
export type Planned = { action: Action; object: KubeObject; before?: KubeObject; diff: string[] }

/** @throws ConfigError when an object is somebody else's; Error with a sentence for each that the server refuses. Changes nothing. */
export async function plan(cluster: Cluster, desired: readonly KubeObject[], owner: Owner): Promise<Planned[]> {
  const objects = desired.map((object) => marked(object, owner))
  const live = await namesakes(cluster, objects)
  const faults = foreignNames(live, owner)
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  const written = await allOf(objects.map((object, i) => plannedFor(cluster, object, live[i])))
  const deleted = owner.prunes ? obsolete(await ownedBy(cluster, owner), objects) : []
  const planned = [
    ...written,
    ...deleted.map((object): Planned => ({ action: 'delete', object, before: object, diff: diff(object, undefined) })),
  ]
  const held = await subsetsOfOthers(cluster, planned, owner.namespace)
  if (held.length > 0) throw new ConfigError(held.join('\n'))
  return planned
}

/** Of several that fail, each is told. */
async function allOf<T>(work: Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(work)
  const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []))
  if (reasons.length > 0) throw new Error(reasons.map(({ message }) => message).join('\n'), { cause: reasons[0] })
  return Promise.all(work)
}

/** What is in the cluster under the names of the objects, in their order. */
export async function namesakes(cluster: Cluster, objects: readonly KubeObject[]): Promise<(KubeObject | undefined)[]> {
  const live = await Promise.all(
    objects.map((object) => cluster.get<KubeObject>(kindFor(object), object.metadata.namespace, object.metadata.name)),
  )
  return live.map((object, i) => object && { ...object, kind: objects[i]!.kind })
}

/** A sentence for each that is not the owner's to write. */
export function foreignNames(live: readonly (KubeObject | undefined)[], owner: Owner): string[] {
  return live.flatMap((object) => (object && foreignOwner(object, owner)) ?? []).map((fault) => `policies: ${fault}`)
}

/** Subsets that would go while a VirtualService that is not in the plan sends traffic there. */
async function subsetsOfOthers(cluster: Cluster, planned: readonly Planned[], namespace: string): Promise<string[]> {
  const losing = planned.filter(
    ({ before, object, action }) => lostSubsets(before, action === 'delete' ? undefined : object).length > 0,
  )
  if (losing.length === 0) return []
  const mine = new Set(planned.map(({ object }) => keyOf(object)))
  const others = (await cluster.list<VirtualService>('VirtualService', namespace)).filter(
    (object) => !mine.has(keyOf(object)),
  )
  return losing.flatMap(({ before, object, action }) =>
    lostSubsets(before, action === 'delete' ? undefined : object).flatMap(({ name }) =>
      others
        .filter((other) => usesSubset(other, before as DestinationRule, name))
        .map(
          ({ metadata }) =>
            `policies: the DestinationRule ${object.metadata.namespace ?? ''}/${object.metadata.name} would lose the subset ${name}, to which the VirtualService ${metadata.namespace ?? ''}/${metadata.name}, which is not of this config, sends traffic; change that first, or keep the subset`,
        ),
    ),
  )
}

type Subset = NonNullable<DestinationRule['spec']['subsets']>[number]

/** Subsets of the older state that the newer lacks. */
export function lostSubsets(before: KubeObject | undefined, after: KubeObject | undefined): Subset[] {
  if (before?.kind !== 'DestinationRule') return []
  const kept = (after as DestinationRule | undefined)?.spec.subsets ?? []
  return ((before as DestinationRule).spec.subsets ?? []).filter(
    ({ name }) => !kept.some((subset) => subset.name === name),
  )
}

export function usesSubset(route: VirtualService, rule: DestinationRule, subset: string): boolean {
  const full = (host: string, { metadata }: KubeObject) => fullHost(host, metadata.namespace ?? '')
  const routes = (['http', 'tcp', 'tls'] as const).flatMap((section): HttpRoute[] => route.spec[section] ?? [])
  const destinations = routes.flatMap((each) => [
    ...(each.route ?? []).map(({ destination }) => destination),
    ...mirrors(each),
  ])
  return destinations.some(
    (destination) => destination.subset === subset && full(destination.host, route) === full(rule.spec.host, rule),
  )
}

function mirrors(route: HttpRoute): Destination[] {
  const several = (route['mirrors'] as { destination: Destination }[] | undefined) ?? []
  return [
    ...(route['mirror'] ? [route['mirror'] as Destination] : []),
    ...several.map(({ destination }) => destination),
  ]
}

function kindFor(object: KubeObject): Kind {
  const kind = kindOf(object)
  if (kind) return kind
  throw new ConfigError(`policies: the kind ${object.kind} (${object.apiVersion}) is not known`)
}

async function plannedFor(cluster: Cluster, object: KubeObject, before: KubeObject | undefined): Promise<Planned> {
  const after = await serverSideApply(cluster, object, before, true).catch((error: unknown) => {
    // Neither the kind nor the namespace need be there yet: the mesh may be installed after the plan.
    if (error instanceof ApiError && error.status === 404) return object
    throw error
  })
  if (!before) return { action: 'create', object, diff: diff(undefined, after) }
  return same(before, after)
    ? { action: 'unchanged', object, before, diff: [] }
    : { action: 'change', object, before, diff: diff(before, after) }
}

/**
 * A conflict with ourselves (a promotion patched the weights) is none; one with another manager is an error that names it,
 * unless the object was handed over to us just now, with all its fields. An ApiError names the object.
 */
export async function serverSideApply(
  cluster: Cluster,
  object: KubeObject,
  before: KubeObject | undefined,
  dryRun = false,
): Promise<KubeObject> {
  try {
    return await cluster.apply(object, before !== undefined && isUnclaimed(before), dryRun)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    const { status, message, causes } = error
    const title = `${object.kind} ${object.metadata.namespace ?? ''}/${object.metadata.name}`
    if (status !== 409) throw new ApiError(status, `${title}: ${message}`, causes)
    if (causes.length > 0 && causes.every((cause) => cause.startsWith(`conflict with "${fieldManager}"`)))
      return cluster.apply(object, true, dryRun)
    throw new ApiError(
      409,
      `${title} has fields that somebody else owns: ${causes.join('; ') || message}; remove them there, or here`,
    )
  }
}

/** What of an object is ours to say: an apply may change who owns a field, and nothing else. */
function telling(object: KubeObject & { spec?: unknown }): { labels: unknown; annotations: unknown; spec: unknown } {
  return { labels: object.metadata.labels, annotations: object.metadata.annotations, spec: object.spec }
}

export function same(before: KubeObject, after: KubeObject): boolean {
  return isDeepStrictEqual(telling(before), telling(after))
}

/** The lines by which two states of an object differ, in the order of the newer one. */
export function diff(before: KubeObject | undefined, after: KubeObject | undefined): string[] {
  const [old, now] = [before, after].map((object) => (object ? leaves(telling(object)) : new Map<string, string>()))
  const paths = [...new Set([...now!.keys(), ...old!.keys()])].filter((path) => old!.get(path) !== now!.get(path))
  return paths.flatMap((path) => [
    ...(old!.has(path) ? [`- ${path}: ${old!.get(path)}`] : []),
    ...(now!.has(path) ? [`+ ${path}: ${now!.get(path)}`] : []),
  ])
}

/** Every value at its path; an empty map or list is a value too, for in a policy it means something. */
function leaves(value: unknown, path = ''): Map<string, string> {
  if (value === undefined) return new Map()
  const entries =
    typeof value === 'object' && value !== null
      ? Object.entries(value).map(([key, each]): [string, unknown] => [step(path, key, value), each])
      : []
  if (entries.length > 0) return new Map(entries.flatMap(([at, each]) => [...leaves(each, at)]))
  return new Map([[path, typeof value === 'string' && value !== '' ? value : JSON.stringify(value)]])
}

function step(path: string, key: string, parent: object): string {
  if (Array.isArray(parent)) return `${path}[${key}]`
  if (/[./]/.test(key)) return `${path}["${key}"]`
  return path === '' ? key : `${path}.${key}`
}

/** All objects as one YAML text, as they would be applied. */
export function rendered(desired: readonly KubeObject[], owner: Owner): string {
  return desired.map((object) => stringify(marked(object, owner))).join('---\n')
}
