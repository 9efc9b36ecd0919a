// Finds the engine's object for a canary of the config, and checks that this run can follow it. Only reads.
import { gitopsOwner, readApplications } from '../canary/traffic/gitops.ts'
import { isForbidden } from '../cluster/api-error.ts'
import type { Cluster } from '../cluster/client.ts'
import {
  keyOf,
  titleOf,
  type DestinationRule,
  type KubeObject,
  type VirtualService,
  type Workload,
} from '../cluster/objects.ts'
import { missingRights, rightOn, rightsOn } from '../cluster/rights.ts'
import { nearest } from '../config/nearest.ts'
import type { CanaryConfig } from '../config/schema.ts'
import type { EngineType } from '../config/schema/engine.ts'
import { splitsIn, type Split } from '../policies/routes.ts'
import { isUnderWay } from './progress.ts'
import { engineOf, missingCrds, weightIn, type Engine, type Live } from './engine.ts'
import { changeOf, ImageFault, type ImageChange } from './images.ts'
import type { Rollout } from './objects.ts'
import { servicesMovedBy, type Routing } from './served.ts'

/** `plan`: with the versions as the engine's routes name them. `change`: what this run sets; undefined if that is set already. */
export type Followed = {
  engine: Engine
  name: string
  live: Live
  plan: CanaryConfig
  split: Split
  change?: ImageChange
}

/** The run cannot follow the rollout; one sentence each. */
export class NotFollowable extends Error {
  override name = 'NotFollowable'
  readonly faults: string[]
  constructor(...faults: string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

type Purpose = 'follow' | 'abort'

/** `purpose`: an abort also concerns a rollout that is paused, has failed, or has lost its controller. @throws NotFollowable */
export async function findFollowed(
  cluster: Cluster,
  namespace: string,
  plan: CanaryConfig,
  purpose: Purpose = 'follow',
): Promise<Followed> {
  return find(cluster, namespace, plan, purpose).catch((error: unknown) => {
    throw isForbidden(error) ? new NotFollowable(unreadable(error)) : error
  })
}

export function unreadable({ message }: Error): string {
  return `this account may not read all that a followed rollout needs: ${message}; give it the rights of deploy/rbac/engines.yaml`
}

async function find(cluster: Cluster, namespace: string, plan: CanaryConfig, purpose: Purpose): Promise<Followed> {
  const { service } = plan
  const engine = engineOf(plan.engine.type as EngineType)
  const routing = await readRouting(cluster, namespace)
  const { metadata } = await findObject(cluster, namespace, plan, engine, routing)
  const live = await engine.read(cluster, namespace, metadata.name)
  if (!live) throw new NotFollowable(`the ${engine.kind} ${namespace}/${metadata.name} was deleted meanwhile`)
  const title = titleOf({ ...live.object, kind: engine.kind })
  const own = engine.faults(live.object)
  if (own.length > 0) throw new NotFollowable(...own.map((fault) => `the ${title} ${fault}`))
  const { stable, canary } = engine.versions(live.object)
  const split: Split = { namespace, service, stable, canary, own: engine.routes(live.object) }
  const change = changeToMake(engine, live, plan)
  // An abort is tried even if nobody can tell whether it is allowed.
  const unlessAbort = (problem: unknown): string[] => {
    if (purpose === 'abort') return []
    throw problem
  }
  const faults = [
    ...(purpose === 'follow' ? stateFaults(engine, live, split, routing, change, title) : []),
    ...(await gitFaults(cluster, engine, live, change)),
    ...(await rightFaults(cluster, namespace, engine, live, change).catch(unlessAbort)),
    ...(purpose === 'follow' ? await controllerFaults(cluster, engine) : []),
  ]
  if (faults.length > 0) throw new NotFollowable(...faults)
  return {
    engine,
    name: metadata.name,
    live,
    plan: { ...plan, stable, canary },
    split,
    ...(change ? { change } : {}),
  }
}

async function readRouting(cluster: Cluster, namespace: string): Promise<Routing> {
  const [virtualServices, destinationRules] = await Promise.all([
    cluster.list<VirtualService>('VirtualService', namespace),
    cluster.list<DestinationRule>('DestinationRule', namespace),
  ])
  return { virtualServices, destinationRules }
}

async function findObject(
  cluster: Cluster,
  namespace: string,
  { service, engine: { name, generate } }: CanaryConfig,
  { kind, title }: Engine,
  routing: Routing,
): Promise<KubeObject> {
  if (!(await cluster.serves(kind))) throw new NotFollowable(missingCrds({ kind, title }))
  const all = await cluster.list<KubeObject>(kind, namespace)
  const served = (object: KubeObject) => servicesMovedBy(kind, object, routing)
  if (name === undefined)
    return onlyOne(
      all.filter((each) => served(each).includes(service)),
      kind,
      namespace,
      service,
      generate
        ? 'run the stage policies, which writes it'
        : "create one with Istio's traffic routing, or set `engine.name`",
    )
  const found = all.find(({ metadata }) => metadata.name === name)
  if (!found) {
    const names = all.map(({ metadata }) => metadata.name)
    throw new NotFollowable(
      `the ${kind} ${namespace}/${name} does not exist${nearest(name, names)}; correct \`engine.name\``,
    )
  }
  if (served(found).includes(service) || served(found).length === 0) return found
  throw new NotFollowable(
    `the ${kind} ${namespace}/${name} moves the traffic of ${served(found).join(', ')}, not of ${service}; ` +
      'correct `engine.name`, or `service`',
  )
}

function onlyOne(found: KubeObject[], kind: string, namespace: string, service: string, remedy: string): KubeObject {
  const [first, second] = found
  if (first && !second) return first
  throw new NotFollowable(
    first
      ? `several objects (${kind}) of ${namespace} move the traffic of ${service} (${found.map(({ metadata }) => metadata.name).join(', ')}); set \`engine.name\``
      : `no ${kind} of ${namespace} moves the traffic of ${service}: ${remedy}`,
  )
}

function changeToMake(engine: Engine, { object, workload }: Live, plan: CanaryConfig): ImageChange | undefined {
  const { kind, name } = engine.target(object)
  const target = kind === 'Rollout' ? (object as Rollout & Workload) : workload
  if (!target)
    throw new NotFollowable(
      `the ${engine.kind} ${object.metadata.namespace}/${object.metadata.name} names the ${kind} ${name}, which does not exist`,
    )
  try {
    return changeOf(kind, target, plan)
  } catch (problem) {
    if (problem instanceof ImageFault) throw new NotFollowable(problem.message)
    throw problem
  }
}

function stateFaults(
  engine: Engine,
  live: Live,
  split: Split,
  { virtualServices }: Routing,
  change: ImageChange | undefined,
  title: string,
): string[] {
  const progress = engine.progress(live, weightIn(virtualServices, split))
  const { primary } = live
  if (!engine.observes && !primary)
    return [
      `the ${title} has no primary Deployment, to which traffic could return; see why ${engine.title} has not made it`,
    ]
  if (primary && (primary.status?.readyReplicas ?? 0) === 0)
    return [`no pod of the ${titleOf(primary)} is ready, so no traffic could return to it; repair it first`]
  if (engine.isPaused(live.object)) return [`the ${title} is paused (\`${pausedKey(engine)}\`); end the pause first`]
  if (progress.revision === '')
    return [
      `the ${title} has no revision yet: ${engine.title} has not acted on it; check that its controller runs, and wait for it`,
    ]
  // Of Flagger, nothing shows whether the change after the failure has come already.
  if (progress.phase === 'failed' && !change && engine.observes)
    return [`the rollout of the ${title} has failed already (${progress.reason || progress.where}); ${engine.retry}`]
  if (change && progress.phase === 'waiting')
    return [
      `${engine.title} has not acted on the last change of the ${title} yet, and a new image would replace that; wait for it, and check ` +
        'that its controller runs',
    ]
  if (change && (progress.isBefore || (isUnderWay(progress) && progress.phase !== 'stuck')))
    return [
      `the ${title} rolls out another revision now (${progress.where}), and a new image would replace it in the middle; ` +
        'wait for its end, or remove the image to follow it',
    ]
  if (virtualServices.some((each) => splitsIn(each, split).length > 0)) return []
  const own = (split.own ?? []).map(({ name, routes = [] }) =>
    [name, ...routes.map((each) => `route ${each}`)].join(', '),
  )
  return [
    `no VirtualService of ${split.namespace} that the ${title} names (${own.join('; ') || 'none'}) has a route with both ` +
      `${split.stable.name} and ${split.canary.name}, whose weights ${engine.title} would move; add both as destinations`,
  ]
}

/** A controller that applies what is in Git would undo the image. */
async function gitFaults(
  cluster: Cluster,
  engine: Engine,
  { object, workload }: Live,
  change: ImageChange | undefined,
): Promise<string[]> {
  const target = change?.kind === 'Deployment' ? workload : object
  const owner = change && target && gitopsOwner(target, await readApplications(cluster))
  if (owner === undefined || !change) return []
  return [
    `the ${change.kind} ${change.name} comes from Git (${owner}), which would undo the image: commit it there, remove it ` +
      `here, and this run follows what ${engine.title} rolls out`,
  ]
}

function pausedKey({ kind }: Engine): string {
  return kind === 'Rollout' ? 'spec.paused' : 'spec.suspend'
}

/** What the run reads all the time. */
const readRights = [
  ...rightsOn('Pod', 'list', 'watch'),
  ...rightsOn('VirtualService', 'list', 'watch'),
  rightOn('Deployment', 'get'),
]

async function rightFaults(
  cluster: Cluster,
  namespace: string,
  engine: Engine,
  { object }: Live,
  change: ImageChange | undefined,
): Promise<string[]> {
  const needed = [
    rightOn(engine.kind, 'get'),
    rightOn('Pod', 'get', { subresource: 'proxy' }),
    ...readRights,
    ...engine.abortRights(object),
    ...(change ? [rightOn(change.kind, 'patch', { name: change.name })] : []),
  ]
  const missing = await missingRights(cluster, namespace, needed)
  return missing.length === 0
    ? []
    : [`this account may not ${missing.join(', ')} in ${namespace}; give it the rights of deploy/rbac/engines.yaml`]
}

/**
 * The Helm charts put the same name on the dashboard of Argo Rollouts, and on the Prometheus of Flagger, though not on
 * its pods.
 */
function isController({ metadata: { labels = {} }, spec }: Workload, { controllerLabels }: Engine): boolean {
  const ofPods = spec.template.metadata?.labels ?? {}
  const isOther = controllerLabels.some((label) => {
    const [key = '', value] = label.split('=')
    return ofPods[key] !== undefined && ofPods[key] !== value
  })
  return !isOther && !(labels['app.kubernetes.io/component'] ?? '').includes('dashboard')
}

/** Without the right to read other namespaces, only the rollout itself shows whether the controller runs. */
export async function controllerFaults(cluster: Cluster, engine: Engine): Promise<string[]> {
  const { controllerLabels, title } = engine
  const lists = controllerLabels.map((labelSelector) =>
    cluster.list<Workload>('Deployment', undefined, { labelSelector }).catch(() => []),
  )
  const byKey = new Map((await Promise.all(lists)).flat().map((each) => [keyOf(each), each]))
  const found = [...byKey.values()].filter((each) => isController(each, engine))
  if (found.length === 0 || found.some(({ status }) => (status?.readyReplicas ?? 0) > 0)) return []
  return [
    `the controller of ${title} (${found.map((each) => titleOf(each)).join(', ')}) has no ready pod; repair it first`,
  ]
}
