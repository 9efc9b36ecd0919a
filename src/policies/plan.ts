// Plans what an apply would do: by the cluster's dry run or, without a cluster, as YAML.
import { fieldManager, type Cluster } from '../cluster/client.ts'
import { ApiError, isForbidden, isNotFound } from '../cluster/api-error.ts'
import {
  type DestinationRule,
  keyOf,
  type Kind,
  kindOf,
  type KubeObject,
  titleOf,
  type VirtualService,
} from '../cluster/objects.ts'
import { listReadable, listReadableEverywhere } from '../cluster/readable.ts'
import { ConfigError } from '../config/error.ts'
import { stringify } from '../yaml/stringify.ts'
import { isVisibleTo } from './conflicts/export-to.ts'
import { diff, isUnchanged } from './diff.ts'
import { foreignFields, foreignFieldText, removalOf, without } from './foreign-fields.ts'
import { isInForce } from './in-force.ts'
import { keepWeights, noWeightRules, replacedBy, type WeightRules } from './weights/kept-weights.ts'
import { isUnclaimed, withOwnerMarks, obsolete, ownedBy, foreignOwner, type Owner } from './owned-objects.ts'
import { fullHost, isRouted } from './routes.ts'
import { lostSubsets, usesSubset } from './subsets.ts'
import { settleAll } from '../runtime/settle-all.ts'

export type ChangeAction = 'create' | 'change' | 'unchanged' | 'delete'
/**
 * `object`: what the run applies or, for `delete`, the live object. `before`: the live object.
 * `diff`: lines such as `- spec.http[0].timeout: 10s` and `+ spec.http[0].timeout: 5s`, of labels, annotations and
 * spec. `kept`: lines such as `spec.http[0].route: kept: 0/100 (file says 90/10)`.
 */
export type PlannedChange = {
  action: ChangeAction
  object: KubeObject
  before?: KubeObject
  diff: string[]
  kept?: string[]
}

/**
 * `section`: of the config, for messages. `owned`: lists the objects that are deleted unless they are desired. `onUnread`:
 * gets a sentence if routes that the account may not read could use a subset that is removed.
 */
export type PlanOptions = {
  rules?: WeightRules
  section?: string
  owned?: () => Promise<KubeObject[]>
  onUnread?: (warning: string) => void
}

/**
 * Compares the desired objects with the cluster. Changes nothing.
 * @throws ConfigError if an object belongs to another owner, or would cut off a version that a promotion gave traffic;
 * Error with a sentence for each object that the server refuses.
 */
export async function planChanges(
  cluster: Cluster,
  desired: readonly KubeObject[],
  owner: Owner,
  {
    rules = noWeightRules,
    section = 'policies',
    owned = () => ownedBy(cluster, owner),
    onUnread = () => undefined,
  }: PlanOptions = {},
): Promise<PlannedChange[]> {
  const objects = desired.map((object) => withOwnerMarks(object, owner))
  const live = await liveCounterparts(cluster, objects)
  const foreign = foreignNames(live, owner, section)
  if (foreign.length > 0) throw new ConfigError(foreign.join('\n'))
  const deleted = owner.prunes ? obsolete(await owned(), objects) : []
  const kept = objects.map((object, i) => keepWeights(object, replacedBy(object, live[i], deleted), rules))
  const faults = kept.flatMap((each) => each.faults)
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  const written = await settleAll(
    kept.map(async ({ object, lines }, i) => ({
      ...(await planWrite(cluster, asRead(object, live[i]), live[i])),
      kept: lines,
    })),
  )
  const planned = [
    ...written,
    ...deleted.map(
      (object): PlannedChange => ({ action: 'delete', object, before: object, diff: diff(object, undefined) }),
    ),
  ]
  const used = await usedSubsetFaults(cluster, planned, owner.namespace, onUnread)
  if (used.length > 0) throw new ConfigError(used.join('\n'))
  return planned
}

/**
 * Routes with the version that was read: the API server refuses the write if a promotion has moved weights since, also
 * if it was the first one.
 */
function asRead(object: KubeObject, live: KubeObject | undefined): KubeObject {
  const { resourceVersion } = live?.metadata ?? {}
  return resourceVersion === undefined || !isRouted(object)
    ? object
    : { ...object, metadata: { ...object.metadata, resourceVersion } }
}

/** The live objects of the same kinds and names, in the same order. */
export async function liveCounterparts(
  cluster: Cluster,
  objects: readonly KubeObject[],
): Promise<(KubeObject | undefined)[]> {
  const groups = Object.values(Object.groupBy(objects, (object) => `${kindFor(object)} ${object.metadata.namespace}`))
  const found = (await Promise.all(groups.map((group) => liveOfKind(cluster, group!)))).flat()
  const byKey = new Map(found.map((object) => [keyOf(object), object]))
  return objects.map((object) => byKey.get(keyOf(object)))
}

/** From so many objects on, a list of all of the kind is cheaper than one request for each. */
const minObjectsToList = 8

/** The live objects of one kind and namespace. */
async function liveOfKind(cluster: Cluster, objects: readonly KubeObject[]): Promise<KubeObject[]> {
  const { kind: kindName, apiVersion, metadata } = objects[0]!
  const kind = kindFor(objects[0]!)
  const asWritten = (object: KubeObject) => ({ ...object, apiVersion, kind: kindName })
  const listed = objects.length < minObjectsToList ? undefined : await listIfAllowed(cluster, kind, metadata.namespace)
  if (listed) return listed.map(asWritten)
  const each = await Promise.all(
    objects.map((one) => cluster.get<KubeObject>(kind, one.metadata.namespace, one.metadata.name)),
  )
  return each.flatMap((object) => (object ? [asWritten(object)] : []))
}

/** Undefined if the account may read single objects only, or if the cluster does not have the kind yet. */
function listIfAllowed(cluster: Cluster, kind: Kind, namespace: string | undefined): Promise<KubeObject[] | undefined> {
  return cluster.list<KubeObject>(kind, namespace).catch((error: unknown) => {
    if (isNotFound(error) || isForbidden(error)) return undefined
    throw error
  })
}

/** One sentence for each live object that the owner must not write. */
export function foreignNames(live: readonly (KubeObject | undefined)[], owner: Owner, section = 'policies'): string[] {
  return live.flatMap((object) => (object && foreignOwner(object, owner)) ?? []).map((fault) => `${section}: ${fault}`)
}

/** Subsets that the plan removes while a VirtualService outside the plan, in any namespace, sends traffic to them. */
async function usedSubsetFaults(
  cluster: Cluster,
  planned: readonly PlannedChange[],
  namespace: string,
  onUnread: (warning: string) => void,
): Promise<string[]> {
  const losses = planned.flatMap(({ before, object, action }) =>
    lostSubsets(before, action === 'delete' ? undefined : object).map(({ name }) => ({
      rule: before as DestinationRule,
      name,
    })),
  )
  if (losses.length === 0) return []
  const own = new Set(planned.map(({ object }) => keyOf(object)))
  const routes = await listReadableEverywhere<VirtualService>(cluster, 'VirtualService', [namespace])
  if (routes.unread.length > 0) onUnread(unreadWarning(losses, routes.unread))
  const others = routes.objects.filter((object) => !own.has(keyOf(object)))
  const used = losses.flatMap(({ rule, name }) =>
    others
      .filter((other) => usesSubset(other, rule, name) && isVisibleTo(rule, other.metadata.namespace ?? ''))
      .map((other) => ({ rule, name, other })),
  )
  const hasOwn = await ownSubsets(
    cluster,
    used.map(({ other }) => other).filter(({ metadata }) => metadata.namespace !== namespace),
  )
  return used
    .filter(({ rule, name, other }) => !hasOwn(rule, name, other))
    .map(
      ({ rule, name, other }) =>
        `policies: the ${titleOf(rule)} would lose the subset ${name}, but the ${titleOf(other)}, ` +
        'which this config does not own, sends traffic there; change that object first, or keep the subset',
    )
}

/** For their own callers, Istio prefers the DestinationRules of the callers' namespace to those of the service. */
async function ownSubsets(
  cluster: Cluster,
  routes: readonly VirtualService[],
): Promise<(rule: DestinationRule, subset: string, route: VirtualService) => boolean> {
  const namespaces = [...new Set(routes.map(({ metadata }) => metadata.namespace ?? ''))]
  const { objects } = await listReadable<DestinationRule>(cluster, 'DestinationRule', namespaces)
  const hostOfRule = ({ metadata, spec }: DestinationRule) => fullHost(spec.host, metadata.namespace ?? '')
  return (rule, subset, route) =>
    objects.some(
      (each) =>
        each.metadata.namespace === route.metadata.namespace &&
        hostOfRule(each) === hostOfRule(rule) &&
        (each.spec.subsets ?? []).some(({ name }) => name === subset),
    )
}

function unreadWarning(losses: readonly { rule: DestinationRule; name: string }[], unread: readonly string[]): string {
  const names = losses.map(({ rule, name }) => `${name} of the ${titleOf(rule)}`)
  return (
    `this account may not read the ${unread.join(' and the ')}; if one sends traffic to ` +
    `${names.join(' or ')}, its callers will get a 503`
  )
}

function kindFor(object: KubeObject): Kind {
  const kind = kindOf(object)
  if (kind) return kind
  throw new ConfigError(`policies: the kind ${object.kind} (${object.apiVersion}) is unknown`)
}

async function planWrite(cluster: Cluster, object: KubeObject, before: KubeObject | undefined): Promise<PlannedChange> {
  const removal = before && foreignRemoval(object, before)
  if (before && isInForce(object, before)) return { action: 'unchanged', object, before, diff: [] }
  const applied = await serverSideApply(cluster, object, before, true).catch((error: unknown) => {
    // The kind and the namespace may not exist yet, because the mesh may be installed after the plan.
    if (isNotFound(error)) return object
    throw error
  })
  const after = removal ? without(applied, removal) : applied
  if (!before) return { action: 'create', object, diff: diff(undefined, after) }
  return isUnchanged(before, after)
    ? { action: 'unchanged', object, before, diff: [] }
    : { action: 'change', object, before, diff: diff(before, after) }
}

/**
 * The patch that takes away what others have set on an object that the user has just handed over; undefined if they have
 * set nothing. @throws ConfigError for any other object: whoever added a field may add it again.
 */
function foreignRemoval(object: KubeObject, before: KubeObject): object | undefined {
  const foreign = foreignFields(object, before, movers)
  if (foreign.length === 0) return undefined
  const removal = removalOf(foreign)
  if (removal && isUnclaimed(before)) return removal
  const { name, namespace = '' } = object.metadata
  // Nobody may look after the field any more, such as after a migration from another tool.
  const command =
    removal &&
    `kubectl --namespace ${namespace} patch ${object.kind.toLowerCase()} ${name} --type merge --patch '${JSON.stringify(removal)}'`
  throw new ConfigError(
    `${titleOf(object)} has fields that another manager owns: ${foreign.map(foreignFieldText).join('; ')}, which this ` +
      `config lacks; remove them there${command ? ` (\`${command}\`)` : ''}, or add them here`,
  )
}

/** Writes the object, as `planChanges` has planned it. Rejects as `serverSideApply`. */
export async function writeObject(cluster: Cluster, object: KubeObject, before: KubeObject | undefined): Promise<void> {
  await serverSideApply(cluster, object, before)
  const removal = before && foreignRemoval(object, before)
  if (removal) await cluster.merge(kindFor(object), object.metadata.namespace, object.metadata.name, removal)
}

/** They change weights and labels in our routes, which the plan keeps: promotions of this program, and Argo Rollouts. */
const movers = [fieldManager, 'rollouts-controller']

/**
 * Overrides conflicts with those that move weights, and all conflicts on an object that
 * the user has just handed over. Rejects with an ApiError that names the object and, in a conflict, the other field
 * manager.
 */
async function serverSideApply(
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
    const title = titleOf(object)
    if (status !== 409) throw new ApiError(status, `${title}: ${message}`, causes)
    if (object.metadata.resourceVersion !== undefined && causes.length === 0) {
      const now = await cluster.get<KubeObject>(kindFor(object), object.metadata.namespace, object.metadata.name)
      // A controller has written its status.
      const isLater = now?.metadata.resourceVersion !== object.metadata.resourceVersion
      if (now && before && isLater && isUnchanged(before, now))
        return serverSideApply(cluster, asRead(object, now), { ...before, metadata: now.metadata }, dryRun)
      throw new ApiError(
        409,
        `${title} has changed since this run read it, and its weights may belong to a promotion; run again`,
      )
    }
    if (
      causes.length > 0 &&
      causes.every((cause) => movers.some((name) => cause.startsWith(`conflict with "${name}"`)))
    )
      return cluster.apply(object, true, dryRun)
    throw new ApiError(
      409,
      `${title} has fields that another manager owns: ${causes.join('; ') || message}; remove them there, or here`,
    )
  }
}

/** All objects as one YAML text, as the run would apply them. */
export function toYaml(desired: readonly KubeObject[], owner: Owner): string {
  return desired.map((object) => stringify(withOwnerMarks(object, owner))).join('---\n')
}
