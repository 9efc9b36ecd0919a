// What a promotion is of, in two short texts: the plan, and the canary's pod template. What an earlier run has saved counts
// only where both are the same. Pure.
import { createHash } from 'node:crypto'
import stringify from 'safe-stable-stringify'
import type { Pod, Workload } from '../../cluster/objects.ts'
import { matches } from '../../cluster/labels.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import type { Labels } from './selectors.ts'

/** Of what is decided by and in which steps; where to stop for now, how to look and whom to tell may differ from run to run. */
export function planHash({
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
}: CanaryConfig): string {
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

/** The workloads whose pods are the canary's. */
export function workloadsOf(workloads: readonly Workload[], labels: Labels): Workload[] {
  return workloads.filter(({ spec }) => matches(labels, spec.template.metadata?.labels))
}

/** Of what the canary's pods are made of; the stamp of a restart does not make another version. */
export function templateHash(workloads: readonly Workload[], pods: readonly Pod[]): string {
  const templates = [...workloads]
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map(({ spec }) => withoutStamp(spec.template))
  // Pods of some other controller: their images are all there is to tell versions by.
  return hash(
    templates.length > 0
      ? templates
      : [...new Set(pods.flatMap(({ spec }) => spec.containers.map(({ image }) => image)))].sort(),
  )
}

function withoutStamp({ metadata, ...template }: Workload['spec']['template']): object {
  const { 'kubectl.kubernetes.io/restartedAt': restart, ...annotations } = metadata?.annotations ?? {}
  return { ...template, labels: metadata?.labels, annotations }
}

/** The same for objects that differ only in the order of their keys. */
function hash(value: unknown): string {
  return createHash('sha256').update(stringify(value)!).digest('hex').slice(0, 12)
}
