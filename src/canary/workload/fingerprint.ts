// Identifies a promotion by two hashes: of its plan, and of the canary's pod template. A run resumes what an earlier
// run saved only if both are the same. Pure.
import { createHash } from 'node:crypto'
import stringify from 'safe-stable-stringify'
import { matches } from '../../cluster/labels.ts'
import type { Container, Pod, Workload } from '../../cluster/objects.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Labels } from './selectors.ts'

/**
 * Hashes the steps and what decides about them. The other keys may differ from run to run: where to stop for now, how
 * often to sample, and whom to notify.
 */
export function planHash(plan: CanaryConfig): string {
  const { service, stable, canary, routes, steps, mirror, ab, interval, advance, minInterval } = plan
  const { checks, onInconclusive } = plan
  return hash({
    service,
    stable,
    canary,
    routes,
    steps,
    mirror,
    ab,
    interval,
    advance,
    minInterval,
    checks,
    onInconclusive,
  })
}

/** The workloads whose pods get these labels. */
export function workloadsOf(workloads: readonly Workload[], labels: Labels): Workload[] {
  return workloads.filter(({ spec }) => matches(labels, spec.template.metadata?.labels))
}

/**
 * Hashes the templates of the canary's pods, without the time that a restart adds. Pods of a controller that we do
 * not know have no template here, so their images distinguish them.
 */
export function templateHash(workloads: readonly Workload[], pods: readonly Pod[]): string {
  if (workloads.length === 0)
    return hash([...new Set(pods.flatMap(({ spec }) => spec.containers.map(({ image }) => image)))].sort())
  const byName = [...workloads].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  return hash(byName.map(({ spec }) => withoutRestart(spec.template)))
}

/** Identifies one pod template, as templateHash does those of a canary. */
export function hashOfTemplate(template: Template): string {
  return hash([withoutRestart(template)])
}

/**
 * Identifies what a release puts into a template. Tools that restart pods to load a changed ConfigMap or Secret mark the
 * template, and that is no other release. But it is another configuration, so the evidence of a promotion ends with it:
 * templateHash counts it.
 */
export function releaseHash(template: Template): string {
  return hashOfTemplate(withoutReloads(template))
}

/** The template without what Reloader and Wave add to it when they restart its pods. */
export function withoutReloads({ metadata, spec }: Template): Template {
  const { initContainers, containers } = spec
  return {
    ...(metadata ? { metadata: withoutAnnotations(metadata, reloadMarks) } : {}),
    spec: {
      ...spec,
      ...(initContainers ? { initContainers: initContainers.map(withoutReloadVariables) } : {}),
      containers: containers.map(withoutReloadVariables),
    },
  }
}

/** The annotations without the time of the last restart; undefined if none is left. */
export function lastingAnnotations(template: Template): Labels | undefined {
  return withoutAnnotations(template.metadata ?? {}, restartMarks).annotations
}

type Template = Workload['spec']['template']
type Metadata = NonNullable<Template['metadata']>

/** Of kubectl, Argo CD and Rancher. */
const restartMarks = ['kubectl.kubernetes.io/restartedAt', 'cattle.io/timestamp']
const reloadMarks = ['reloader.stakater.com/last-reloaded-from', 'wave.pusher.com/config-hash']
/** By default, Reloader changes a variable instead of an annotation. */
const reloadVariable = /^STAKATER_\w+_(CONFIGMAP|SECRET|SECRETPROVIDERCLASS)$/

function withoutReloadVariables({ env, ...container }: Container): Container {
  const remaining = env?.filter(({ name }) => !reloadVariable.test(name)) ?? []
  return remaining.length > 0 ? { ...container, env: remaining } : container
}

function withoutAnnotations({ annotations = {}, ...metadata }: Metadata, keys: string[]): Metadata {
  const remaining = Object.entries(annotations).filter(([key]) => !keys.includes(key))
  return remaining.length > 0 ? { ...metadata, annotations: Object.fromEntries(remaining) } : metadata
}

function withoutRestart(template: Template): object {
  const { metadata, ...rest } = template
  return { ...rest, labels: metadata?.labels, annotations: lastingAnnotations(template) ?? {} }
}

/** The order of keys does not change the hash. */
export function hash(value: unknown): string {
  return createHash('sha256').update(stringify(value)!).digest('hex').slice(0, 12)
}
