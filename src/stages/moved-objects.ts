// Records which objects a promotion or a rollback has changed: the routes that it wrote and, with `after: adopt` or `gitops`, the
// Deployments. It compares the cluster before and after, because a promotion that fails half-way has written as well.
import { isDeepStrictEqual } from 'node:util'
import { splitOf } from '../policies/routes.ts'
import { readRoutes } from '../canary/traffic/router.ts'
import { selectorsOf } from '../canary/workload/selectors.ts'
import { matches } from '../cluster/labels.ts'
import { keyOf, type KubeObject, type Workload } from '../cluster/objects.ts'
import { canariesOf } from '../config/names.ts'
import type { CanaryConfig } from '../config/schema.ts'
import type { Change } from '../policies/apply.ts'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'
import type { Stage, StageContext } from './context.ts'

/** The runner does not wait long for a cancelled run, and the report is worth more than this list. */
const readLimitMs = 3_000

/** The stage, which also records what it has changed, whether it succeeds or not. */
export function recordingMoves(stage: Stage): Stage {
  return async (context) => {
    if (context.config.dryRun) return stage(context)
    const before = await readObjects(context)
    try {
      return await stage(context)
    } finally {
      const changes = changesOf(before, await readObjects(context))
      if (changes.length > 0) context.recorder.record({ changes })
    }
  }
}

async function readObjects(context: StageContext): Promise<KubeObject[]> {
  const reads = canariesOf(context.config).flatMap((plan) => [routesOf(context, plan), deploymentsOf(context, plan)])
  const limit = withTimeout(undefined, readLimitMs, 'reading the routes')
  const lists = reads.map((read) => unlessAborted(read, limit).catch((): KubeObject[] => []))
  return (await Promise.all(lists)).flat()
}

function routesOf({ cluster, config }: StageContext, plan: CanaryConfig): Promise<KubeObject[]> {
  return readRoutes(cluster, splitOf(config, plan))
}

async function deploymentsOf({ cluster, config }: StageContext, plan: CanaryConfig): Promise<KubeObject[]> {
  if (plan.after === 'keep') return []
  const { stable, canary } = await selectorsOf(cluster, config, plan)
  const all = await cluster.list<Workload>('Deployment', config.namespace)
  return all.filter(({ spec: { template } }) =>
    [stable, canary].some((labels) => matches(labels, template.metadata?.labels)),
  )
}

function changesOf(before: readonly KubeObject[], after: readonly KubeObject[]): Change[] {
  const old = new Map(before.map((object) => [keyOf(object), object]))
  const changed = [...new Map(after.map((object) => [keyOf(object), object])).values()].filter((object) => {
    const earlier = old.get(keyOf(object))
    return earlier !== undefined && hasChanged(earlier, object)
  })
  return changed.map(({ kind, metadata }) => ({
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    action: 'changed',
    moved: true,
  }))
}

/** An autoscaler changes the replicas of a Deployment too, but neither its template nor the replicas to none. */
function hasChanged(before: KubeObject, after: KubeObject): boolean {
  if (after.kind !== 'Deployment') return versionOf(before) !== versionOf(after)
  const [old, now] = [before as Workload, after as Workload]
  const isScaledToZero = now.spec.replicas === 0 && old.spec.replicas !== 0
  return isScaledToZero || !isDeepStrictEqual(old.spec.template, now.spec.template)
}

/** Grows with each change of what the user writes, and not with a change of the status. */
function versionOf({ metadata: { generation, resourceVersion } }: KubeObject): string | undefined {
  return generation === undefined ? resourceVersion : String(generation)
}
