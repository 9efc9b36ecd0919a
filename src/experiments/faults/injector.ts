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
import { createPodKiller, type PodKiller } from './pod-kill.ts'
import { describeUnfinished, findTouched, findUnfinished, restoreObjects } from './restore.ts'

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

export class FaultInjector {
  private readonly cluster: Cluster
  private readonly settings: InjectorSettings
  private readonly killer: PodKiller | undefined
  private objects: FaultObject[]
  /** The objects as the API server has stored them with the fault. */
  private stored: KubeObject[] = []
  private sent = false
  private written = false
  private removed = true
  private affected = 0
  /** On which Chaos Mesh's fault acted when it showed itself. */
  private firstActing: string[] = []
  private hasActed = false

  constructor(cluster: Cluster, settings: InjectorSettings) {
    const { namespace, experiment, planned, note } = settings
    const { maxAffected, inject } = experiment
    this.cluster = cluster
    this.settings = settings
    this.killer = inject.podKill && createPodKiller(cluster, namespace, inject.podKill, maxAffected, note)
    this.objects = planned
  }

  /** Writes the fault, or evicts the pods that are due. Repeating it is harmless. */
  async inject(now: number): Promise<void> {
    if (!this.killer) return this.write()
    this.begin()
    const names = await this.killer.evict(this.settings.pods(), now)
    names.forEach((each) => this.settings.note(`evicted the pod ${each}`))
    this.affected += names.length
    this.written ||= names.length > 0
  }

  /** Afterwards it may still be there: Chaos Mesh needs time to end a fault. */
  async restore(): Promise<void> {
    const { session, note } = this.settings
    for (const key of await restoreObjects(this.cluster, this.objects, { identity: session.identity }))
      note(`removed the fault from ${key}`)
    this.removed = (await findUnfinished(this.cluster, this.objects, session.identity)).length === 0
  }

  /** Whether anything of it may have reached the cluster, also if that failed. */
  wasSent(): boolean {
    return this.sent
  }

  isWritten(): boolean {
    return this.written
  }

  isRemoved(): boolean {
    return this.removed
  }

  /** What keeps the fault from acting as it was written, in words. */
  async findDisturbances(): Promise<string[]> {
    if (!this.written || this.removed) return []
    const title = ({ kind, namespace, name }: FaultObject) => `${kind} ${namespace}/${name}`
    if (!this.settings.experiment.inject.chaosMesh) {
      const touched = await findTouched(this.cluster, this.objects, this.stored)
      return touched.map((each) => `somebody else changed what the fault had written in ${title(each)}`)
    }
    if (this.firstActing.length === 0) return []
    const acting = await this.findActing()
    const left = this.firstActing.filter((each) => acting.includes(each)).length
    if (left === this.firstActing.length) return []
    const what =
      left > 0
        ? `acts on only ${left} of ${this.firstActing.length} pods: the others were replaced`
        : 'acts no more: it was paused or has ended, or its pods were replaced'
    return this.objects.map((each) => `${title(each)} ${what}`)
  }

  /** On how many pods it acts that the last call did not know: evicted ones, or those that Chaos Mesh names. */
  async takeAffected(): Promise<number> {
    if (this.settings.experiment.inject.chaosMesh && this.written && !this.removed && this.firstActing.length === 0) {
      this.firstActing = await this.findActing()
      this.affected = this.firstActing.length
    }
    // Before all pods are evicted for the first time, it is another fault than the one that is asked for.
    this.hasActed ||= this.killer?.isComplete() ?? true
    if (!this.hasActed) return 0
    const taken = this.affected
    this.affected = 0
    return taken
  }

  private begin(): void {
    this.sent = true
    this.removed = false
  }

  private async findActing(): Promise<string[]> {
    const pods = this.settings.pods
    return (await Promise.all(this.objects.map((each) => actingOn(this.cluster, each, pods())))).flat()
  }

  private async write(): Promise<void> {
    if (this.written) return
    const { namespace, name, experiment, objectName, session, intend, note } = this.settings
    // An attempt that failed may have written some of it.
    if (!this.removed) {
      await restoreObjects(this.cluster, this.objects, { identity: session.identity })
      const unfinished = await findUnfinished(this.cluster, this.objects, session.identity)
      if (unfinished.length > 0)
        return note(`the fault is written again when it is gone: ${describeUnfinished(unfinished)}`)
    }
    const plan = await planFault(this.cluster, namespace, objectName, experiment)
    this.objects = objectsOf(plan)
    await session.cover(this.objects)
    intend(this.objects)
    this.begin()
    const mark = { experiment: name, lease: session.lease.metadata.name, identity: session.identity }
    try {
      this.stored = await injectFault(this.cluster, plan, session.lease, mark)
    } catch (problem) {
      if (!isConflict(problem)) throw problem
      return note(`somebody else wrote at the same time; trying again: ${problem.message}`)
    }
    // A run that was frozen in the meantime has lost its Lease, and its guard may have ended.
    await session.renew()
    this.written = true
  }
}
