// A fault in the cluster: writes it, looks whether it is still as written, and restores its objects.
import { isConflict } from '../../cluster/api-error.ts'
import type { Cluster } from '../../cluster/client.ts'
import type { KubeObject, Pod } from '../../cluster/objects.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import type { ExperimentSession } from '../session.ts'
import { actingOn } from './chaos-mesh.ts'
import { objectsOf, planFault } from './fault-plan.ts'
import type { FaultObject } from './fault-object.ts'
import { injectFault } from './inject.ts'
import { createPodKiller } from './pod-kill.ts'
import { describeUnfinished, findTouched, findUnfinished, restoreObjects } from './restore.ts'

export type Injector = {
  /** Writes the fault, or evicts the pods that are due. Repeating it is harmless. */
  inject: (now: number) => Promise<void>
  /** Afterwards it may still be there: Chaos Mesh needs time to end a fault. */
  restore: () => Promise<void>
  isWritten: () => boolean
  isRemoved: () => boolean
  /** What keeps the fault from acting as it was written, in words. */
  findDisturbances: () => Promise<string[]>
  /** On how many pods it acts that the last call did not know: evicted ones, or those that Chaos Mesh names. */
  takeAffected: () => Promise<number>
}

/**
 * `name`: of the objects that the fault creates. `intend`: called with what to restore, before anything of it is
 * written. `pods`: of the workload that the fault concerns, or all of the namespace.
 */
export type InjectorSettings = {
  namespace: string
  name: string
  experiment: ExperimentConfig
  objectName: string
  session: ExperimentSession
  planned: FaultObject[]
  intend: (objects: FaultObject[]) => void
  pods: () => Pod[]
  note: (line: string) => void
}

export function createInjector(cluster: Cluster, settings: InjectorSettings): Injector {
  const { namespace, name, experiment, objectName, session, intend, pods, note } = settings
  const { maxAffected } = experiment
  const { podKill, chaosMesh } = experiment.inject
  const killer = podKill && createPodKiller(cluster, namespace, podKill, maxAffected, note)
  let objects = settings.planned
  /** The objects as the API server has stored them with the fault. */
  let stored: KubeObject[] = []
  let [isWritten, isRemoved, affected, hasActed] = [false, true, 0, false]
  /** On which Chaos Mesh's fault acted when it showed itself. */
  let firstActing: string[] = []

  async function findActing(): Promise<string[]> {
    return (await Promise.all(objects.map((each) => actingOn(cluster, each, pods())))).flat()
  }

  async function write(): Promise<void> {
    if (isWritten) return
    // An attempt that failed may have written some of it.
    if (!isRemoved) {
      await restoreObjects(cluster, objects, { identity: session.identity })
      const unfinished = await findUnfinished(cluster, objects, session.identity)
      if (unfinished.length > 0)
        return note(`the fault is written again when it is gone: ${describeUnfinished(unfinished)}`)
    }
    const plan = await planFault(cluster, namespace, objectName, experiment)
    objects = objectsOf(plan)
    await session.cover(objects)
    intend(objects)
    isRemoved = false
    const mark = { experiment: name, lease: session.lease.metadata.name, identity: session.identity }
    try {
      stored = await injectFault(cluster, plan, session.lease, mark)
    } catch (problem) {
      if (!isConflict(problem)) throw problem
      return note(`somebody else wrote at the same time; trying again: ${problem.message}`)
    }
    // A run that was frozen in the meantime has lost its Lease, and its guard may have ended.
    await session.renew()
    isWritten = true
  }

  return {
    inject: async (now) => {
      if (!killer) return write()
      isRemoved = false
      const names = await killer.evict(pods(), now)
      names.forEach((each) => note(`evicted the pod ${each}`))
      affected += names.length
      isWritten ||= names.length > 0
    },
    restore: async () => {
      for (const key of await restoreObjects(cluster, objects, { identity: session.identity }))
        note(`removed the fault from ${key}`)
      isRemoved = (await findUnfinished(cluster, objects, session.identity)).length === 0
    },
    isWritten: () => isWritten,
    isRemoved: () => isRemoved,
    findDisturbances: async () => {
      if (!isWritten || isRemoved) return []
      const title = ({ kind, namespace, name }: FaultObject) => `${kind} ${namespace}/${name}`
      if (!chaosMesh) {
        const touched = await findTouched(cluster, objects, stored)
        return touched.map((each) => `somebody else changed what the fault had written in ${title(each)}`)
      }
      if (firstActing.length === 0) return []
      const acting = await findActing()
      const left = firstActing.filter((each) => acting.includes(each)).length
      if (left === firstActing.length) return []
      const what =
        left > 0
          ? `acts on only ${left} of ${firstActing.length} pods: the others were replaced`
          : 'acts no more: it was paused or has ended, or its pods were replaced'
      return objects.map((each) => `${title(each)} ${what}`)
    },
    takeAffected: async () => {
      if (chaosMesh && isWritten && !isRemoved && firstActing.length === 0) {
        firstActing = await findActing()
        affected = firstActing.length
      }
      // Before all pods are evicted for the first time, it is another fault than the one that is asked for.
      hasActed ||= killer?.isComplete() ?? true
      if (!hasActed) return 0
      const taken = affected
      affected = 0
      return taken
    },
  }
}
