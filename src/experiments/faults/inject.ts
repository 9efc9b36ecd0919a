// Writes a planned fault into the cluster.
import { isConflict } from '../../cluster/api-error.ts'
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import { titleOf, type Kind, type KubeObject, type Lease } from '../../cluster/objects.ts'
import { ownerReference, runOfHolder } from '../../canary/ownership/lease-object.ts'
import type { FaultChange } from './fault-plan.ts'
import { experimentAnnotation, isForeign, markedObject, markPatch, type FaultMark } from './fault-object.ts'

/**
 * Returns the objects as the API server has stored them. Kubernetes deletes what is created here together with the Lease,
 * also if a frozen run creates it after that.
 * @throws Error before anything is written if an object has the fault of another experiment.
 */
export async function injectFault(
  cluster: Cluster,
  changes: FaultChange[],
  lease: Lease,
  mark: Omit<FaultMark, 'undo'>,
): Promise<KubeObject[]> {
  for (const { write } of changes) if (write.kind === 'patch') requireOwn(write.object, mark.identity)
  const written: KubeObject[] = []
  for (const { write, undo } of changes) written.push(await writeFault(cluster, write, lease, { ...mark, undo }))
  return written
}

/** An object has one mark, so two experiments could not tell whose routes in it are whose. */
function requireOwn(object: KubeObject, identity: string): void {
  if (!isForeign(object, identity)) return
  const { experiment, lease, identity: holder } = markedObject(object)!.mark
  throw new Error(
    `the ${titleOf(object)} has the fault of the experiment ${experiment} of ${runOfHolder(holder)}; wait for its end. ` +
      `If that run is gone, run an experiment that takes its Lease ${lease}, which removes the fault`,
  )
}

/** Nothing that the run could wait for: the object is invalid, or somebody else has one of that name. */
function explain(problem: unknown, object: KubeObject): never {
  if (!isConflict(problem)) throw problem
  throw new Error(`${titleOf(object)} is refused: ${[problem.message, ...problem.causes].join('; ')}`)
}

async function writeFault(
  cluster: Cluster,
  write: FaultChange['write'],
  lease: Lease,
  mark: FaultMark,
): Promise<KubeObject> {
  if (write.kind === 'create') {
    const annotations = { [experimentAnnotation]: JSON.stringify(mark) }
    const metadata = { ...write.object.metadata, annotations, ownerReferences: [ownerReference(lease)] }
    const object = { ...write.object, metadata }
    return cluster.create(object).catch((problem: unknown) => explain(problem, write.object))
  }
  const { object, operations } = write
  const asRead: PatchOperation = {
    op: 'test',
    path: '/metadata/resourceVersion',
    value: object.metadata.resourceVersion,
  }
  const { kind, metadata } = object
  return cluster.patch(kind as Kind, metadata.namespace, metadata.name, [
    asRead,
    ...markPatch(object, mark),
    ...operations,
  ])
}
