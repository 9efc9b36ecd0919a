// Plans a release: what the canary is made of, and what is left to do. Only reads, and finds every reason against it.
import { ApiError, emptyWhenUnread, lacksRights } from '../cluster/api-error.ts'
import { autoscalerOf } from '../cluster/autoscalers.ts'
import type { Cluster } from '../cluster/client.ts'
import { belongs } from '../cluster/labels.ts'
import { titleOf, type KubeObject, type Pod, type Service, type Workload } from '../cluster/objects.ts'
import { hasSidecar } from '../mesh/sidecar.ts'
import { gitopsOwner, readApplications } from '../canary/traffic/gitops.ts'
import { hashOfTemplate, releaseHash } from '../canary/workload/fingerprint.ts'
import { configHashAnnotation, copyForCanaryName, createdCanaryLabel } from '../config/names.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { currentImage } from '../config/values/images.ts'
import { canaryDeployment, canaryService, marks, type Template } from './deployment.ts'
import { spreadAmongItself } from './selector-copies.ts'
import { distinguish, type Distinction } from './distinction.ts'
import { withImages } from './images.ts'
import { dataHash, hasSameData, readRelease, renamed, type Rendered } from './manifests.ts'
import { firstReplicas } from './capacity.ts'
import { quotaFault, type ResourceQuota } from './quota.ts'
import { unsharedClaim } from './volumes.ts'
import { deploymentBehind, NotReleasable } from './workload.ts'

export type Release = {
  plan: CanaryConfig
  /** The Service of stable, and the one that the canary needs beside it, if it does. */
  service: Service
  canaryService: KubeObject | undefined
  distinction: Distinction
  stable: Workload
  /** The template that stable gets. */
  template: Template
  /** The Deployment to create. */
  canary: Workload
  /** The canary that an earlier run left, and whether a run may go on with it: it has exactly this template. */
  left: { deployment: Workload; isSame: boolean } | undefined
  /** ConfigMaps and Secrets: those of the canary's pods alone, and those that stable gets. */
  configs: { canary: KubeObject[]; stable: KubeObject[] }
  /**
   * `idle`: stable runs this release, and no canary is left, or it is left to the run that made it. `finish`: stable
   * runs it, and a canary is left. `promote`: stable does not run it yet.
   */
  todo: 'idle' | 'finish' | 'promote'
}

/** Undefined if there is no such Service, which the preflight reports. @throws NotReleasable, ConfigError, ApiError */
export async function planRelease(
  cluster: Cluster,
  namespace: string,
  key: string,
  plan: CanaryConfig,
): Promise<Release | undefined> {
  const service = await cluster.get<Service>('Service', namespace, plan.service)
  if (!service) return undefined
  const stable = await deploymentBehind(cluster, service)
  const rendered = await renderedFor(cluster, key, plan, stable, service)
  const configs = await configsOf(cluster, plan, rendered.configs)
  const distinction = await distinctionOf(cluster, service, stable, rendered.template)
  const wanted = canaryOf(plan, stable, rendered.template, configs, distinction)
  const deployment = await leftBehind(cluster, wanted)
  const todo = todoOf(plan, stable, rendered.template, configs, deployment)
  const canary = todo === 'promote' || deployment ? await validated(cluster, wanted) : wanted
  if (todo === 'promote') {
    requireRestart(plan, stable, rendered.template, configs)
    await requireReleasable(cluster, plan, stable, canary, distinction, deployment)
  }
  return {
    plan,
    service,
    canaryService: canaryService(service, distinction),
    distinction,
    stable,
    template: configs.names.size > 0 && plan.after !== 'gitops' ? restarted(rendered.template) : rendered.template,
    canary,
    left: deployment && {
      deployment,
      isSame: hashOfTemplate(deployment.spec.template) === hashOfTemplate(canary.spec.template),
    },
    configs,
    todo,
  }
}

async function distinctionOf(
  cluster: Cluster,
  { metadata, spec }: Service,
  stable: Workload,
  later: Template,
): Promise<Distinction> {
  return distinguish(metadata.name, {
    now: stable.spec.template.metadata?.labels ?? {},
    later: later.metadata?.labels ?? {},
    service: spec.selector ?? {},
    deployment: stable.spec.selector.matchLabels ?? {},
    isScaled: (await autoscalerOf(cluster, stable)) !== undefined,
  })
}

function canaryOf(
  plan: CanaryConfig,
  stable: Workload,
  template: Template,
  configs: Configs,
  distinction: Distinction,
): Workload {
  const named = renamed(template, ({ kind, name }) => configs.names.get(`${kind}/${name}`) ?? name)
  const own = configs.canary.length > 0 ? withConfigHash(named, configs.canary) : named
  const replicas = firstReplicas(plan, stable.spec.replicas ?? 1)
  return spreadAmongItself(canaryDeployment(plan.service, stable, own, distinction, replicas), template)
}

/** The names of the copies do not tell that a later run has other data for them, which the pods have not read. */
function withConfigHash(template: Template, configs: readonly KubeObject[]): Template {
  const annotations = { ...template.metadata?.annotations, [configHashAnnotation]: dataHash(configs) }
  return { ...template, metadata: { ...template.metadata, annotations } }
}

function todoOf(
  { image }: CanaryConfig,
  stable: Workload,
  template: Template,
  configs: Configs,
  left: Workload | undefined,
): Release['todo'] {
  const isRunning = configs.stable.length === 0 && isSameTemplate(stable.spec.template, template)
  if (!isRunning) return 'promote'
  return left && image !== currentImage ? 'finish' : 'idle'
}

/** @throws NotReleasable with the first reason why a canary could not run, or stable could not get the release. */
async function requireReleasable(
  cluster: Cluster,
  plan: CanaryConfig,
  stable: Workload,
  canary: Workload,
  distinction: Distinction,
  left: Workload | undefined,
): Promise<void> {
  if (plan.after !== 'gitops') await requireNoGitops(cluster, stable)
  requireNotPaused(stable)
  if (distinction.by === 'service') requireNoSubsets(plan)
  const claim = await unsharedClaim(cluster, stable.metadata.namespace ?? '', canary.spec.template)
  if (claim !== undefined) throw new NotReleasable(claim)
  if (!left) await requireRoom(cluster, plan, stable, canary)
}

/** Its controller would undo the image at its next synchronization. */
async function requireNoGitops(cluster: Cluster, stable: Workload): Promise<void> {
  const owner = gitopsOwner(stable, await readApplications(cluster))
  if (owner === undefined) return
  throw new NotReleasable(
    `${owner} manages the ${titleOf(stable)}, and would undo what the run writes to it; set \`after: gitops\`, and commit ` +
      'what the run then gives you (docs/gitops.md)',
  )
}

/** Pods read a ConfigMap that keeps its name only when they start, and nobody would restart them. */
function requireRestart(
  { after }: CanaryConfig,
  stable: Workload,
  template: Template,
  { stable: changed }: Configs,
): void {
  if (after !== 'gitops' || changed.length === 0 || !isSameTemplate(stable.spec.template, template)) return
  throw new NotReleasable(
    `the release changes only the ${titleOf(changed[0]!)}, and with \`after: gitops\` nobody would restart the pods that ` +
      'read it; give it a new name in each release (configMapGenerator of Kustomize), or put a hash of it into an annotation ' +
      'of the pods',
  )
}

function requireNotPaused(stable: Workload): void {
  if (!(stable.spec as { paused?: boolean }).paused) return
  throw new NotReleasable(
    `the ${titleOf({ ...stable, kind: 'Deployment' })} is paused, so its pods would never get the release; resume it with ` +
      `kubectl rollout resume deployment/${stable.metadata.name}`,
  )
}

/** An account that may not read the quotas learns of them when the pods are created. */
async function requireRoom(cluster: Cluster, plan: CanaryConfig, stable: Workload, { spec }: Workload): Promise<void> {
  const { namespace } = stable.metadata
  const quotas = await cluster.list<ResourceQuota>('ResourceQuota', namespace).catch(emptyWhenUnread)
  if (quotas.length === 0) return
  const pods = await cluster.list<Pod>('Pod', namespace)
  const running = pods.find((pod) => belongs(stable, pod) && hasSidecar(pod))
  const most = plan.replicas === 'proportional' ? stable.spec.replicas : spec.replicas
  const fault = quotaFault(quotas, spec.template, running, most ?? 1)
  if (fault !== undefined) throw new NotReleasable(fault)
}

function requireNoSubsets({ ab, service }: CanaryConfig): void {
  if (!ab) return
  throw new NotReleasable(
    `\`ab\` needs subsets, and the pods of ${service} have no label of their own, such as \`version\`, that would tell ` +
      'them from a canary; add one to the template of the Deployment, or remove `ab`',
  )
}

async function renderedFor(
  cluster: Cluster,
  key: string,
  plan: CanaryConfig,
  stable: Workload,
  service: Service,
): Promise<Rendered> {
  const { template, configs } = plan.manifests
    ? readRelease(`${key}.manifests`, plan.manifests, stable, service)
    : { template: withImages(stable.spec.template, plan, titleOf({ ...stable, kind: 'Deployment' })), configs: [] }
  if (isSameTemplate(stable.spec.template, template)) return { template, configs }
  // What the API server and its webhooks add to a template, such as the digest of an image, is in that of stable too.
  const complete = await validated(cluster, { ...stable, spec: { ...stable.spec, template } })
  return { template: complete.spec.template, configs }
}

/** The Deployment as the API server would create it. Creates nothing. @throws NotReleasable if it refuses. */
async function validated(cluster: Cluster, deployment: Workload): Promise<Workload> {
  const { apiVersion, spec, metadata } = deployment
  const { namespace = '', labels } = metadata
  // Under a name that nobody has: the dry run of a name that exists would show a mixture of both.
  const trial = { apiVersion, kind: 'Deployment', metadata: { name: `${metadata.name}.mesh-canary`, namespace }, spec }
  const { spec: complete } = await cluster.apply<Workload>(trial, true, true).catch((error: unknown): never => {
    if (!(error instanceof ApiError) || ![400, 403, 409, 422].includes(error.status)) throw error
    const { message } = error
    throw new NotReleasable(
      lacksRights(error)
        ? `the run may not create Deployments: ${message}; give it the rights of deploy/rbac/deliver.yaml`
        : `the API server refuses the Deployment of the release: ${message}`,
    )
  })
  return {
    apiVersion,
    kind: 'Deployment',
    metadata: { name: metadata.name, namespace, ...(labels ? { labels } : {}) },
    spec: complete,
  }
}

function isSameTemplate(one: Template, other: Template): boolean {
  return releaseHash(one) === releaseHash(other)
}

/** The canary of an earlier run. @throws NotReleasable if the canary's name belongs to someone else. */
async function leftBehind(cluster: Cluster, { metadata }: Workload): Promise<Workload | undefined> {
  const { name, namespace } = metadata
  const deployment = await cluster.get<Workload>('Deployment', namespace, name)
  if (!deployment) return undefined
  if (deployment.metadata.labels?.[createdCanaryLabel] === undefined)
    throw new NotReleasable(
      `the run would create the Deployment ${name} for the canary, and one of that name exists that mesh-canary did not ` +
        'create; delete or rename it, or promote it as it is with `stable` and `canary`',
    )
  return { ...deployment, kind: 'Deployment' }
}

/** `names`: by `kind/name`, the name that the canary's pods use instead. */
type Configs = Release['configs'] & { names: Map<string, string> }

/**
 * Only what differs from the cluster. What is new is created under its own name for the canary. What exists with other
 * data belongs to stable's pods until they restart, so the canary gets a copy. Also of what is new, if a GitOps controller
 * will create it: what belongs to the canary is deleted with it.
 */
async function configsOf(
  cluster: Cluster,
  { service, after }: CanaryConfig,
  configs: readonly KubeObject[],
): Promise<Configs> {
  const result: Configs = { canary: [], stable: [], names: new Map() }
  for (const object of configs) {
    const { kind, metadata } = object
    const live = await readConfig(cluster, object)
    const isOfCanary = live?.metadata.labels?.[createdCanaryLabel] === service
    if (live && hasSameData(live, object) && !isOfCanary) continue
    const isCopied = (live && !isOfCanary) || after === 'gitops'
    if (live && !isOfCanary && after !== 'gitops') requireMutable(live, object)
    const name = isCopied ? copyForCanaryName(metadata.name, service) : metadata.name
    const labels = { ...metadata.labels, ...marks(service) }
    result.canary.push({ ...object, metadata: { ...metadata, name, labels } })
    result.stable.push(object)
    if (name !== metadata.name) result.names.set(`${kind}/${metadata.name}`, name)
  }
  return result
}

function requireMutable(live: KubeObject, wanted: KubeObject): void {
  if ((live as { immutable?: boolean }).immutable)
    throw new NotReleasable(
      `the ${titleOf(wanted)} in the cluster is immutable, and the manifests have other data for it; give the new one ` +
        'another name, such as one with a hash',
    )
}

async function readConfig(cluster: Cluster, { kind, metadata }: KubeObject): Promise<KubeObject | undefined> {
  const { namespace, name } = metadata
  return cluster.get<KubeObject>(kind as 'ConfigMap' | 'Secret', namespace, name).catch((error: unknown): never => {
    if (!lacksRights(error)) throw error
    throw new NotReleasable(
      `the run may not read the ${kind} ${name}, so it cannot tell whether the release changes it: ${error.message}; ` +
        'give it that right, as deploy/rbac/deliver.yaml says',
    )
  })
}

/** Pods read a ConfigMap that keeps its name only when they start. */
function restarted(template: Template): Template {
  const { annotations = {} } = template.metadata ?? {}
  const time = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() }
  return { ...template, metadata: { ...template.metadata, annotations: { ...annotations, ...time } } }
}
