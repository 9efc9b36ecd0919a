// Identifies a promotion by two hashes: of its plan, and of the canary's pod template. A run resumes what an earlier
// run saved only if both are the same. Pure.
import { createHash } from 'node:crypto'
import stringify from 'safe-stable-stringify'
import { matches } from '../../cluster/labels.ts'
import type { Pod, Workload } from '../../cluster/objects.ts'
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
 * Hashes the templates of the canary's pods, without the timestamp that a restart adds. Pods of a controller that we do
 * not know have no template here, so their images distinguish them.
 */
export function templateHash(workloads: readonly Workload[], pods: readonly Pod[]): string {
  if (workloads.length === 0)
    return hash([...new Set(pods.flatMap(({ spec }) => spec.containers.map(({ image }) => image)))].sort())
  const byName = [...workloads].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  return hash(byName.map(({ spec }) => withoutRestart(spec.template)))
}

/** Identifies one pod template, as templateHash does those of a canary. */
export function hashOfTemplate(template: Workload['spec']['template']): string {
  return hash([withoutRestart(template)])
}

function withoutRestart({ metadata, ...template }: Workload['spec']['template']): object {
  const { 'kubectl.kubernetes.io/restartedAt': _, ...annotations } = metadata?.annotations ?? {}
  return { ...template, labels: metadata?.labels, annotations }
}

/** The order of keys does not change the hash. */
export function hash(value: unknown): string {
  return createHash('sha256').update(stringify(value)!).digest('hex').slice(0, 12)
}
