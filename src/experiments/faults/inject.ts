// Writes a planned fault into the cluster.
import { isConflict } from '../../cluster/api-error.ts'
import type { Cluster, PatchOperation } from '../../cluster/client.ts'
import type { Lease } from '../../cluster/objects.ts'
import { ownerReference } from '../../canary/ownership/lease-object.ts'
import type { FaultPlan, FaultWrite } from './fault-plan.ts'
import { experimentAnnotation, markPatch, type FaultMark, type FaultObject } from './fault-object.ts'

/** Kubernetes deletes what is created here together with the Lease, also if a frozen run creates it after that. */
export async function injectFault(
  cluster: Cluster,
  { writes, objects }: FaultPlan,
  lease: Lease,
  mark: Omit<FaultMark, 'undo'>,
): Promise<void> {
  for (const [i, write] of writes.entries())
    await writeFault(cluster, write, objects[i]!, lease, { ...mark, undo: objects[i]!.undo })
}

/** Nothing that the run could wait for: the object is invalid, or somebody else has one of that name. */
function explain(problem: unknown, kind: string, namespace: string, name: string): never {
  if (!isConflict(problem)) throw problem
  throw new Error(`${kind} ${namespace}/${name} is refused: ${[problem.message, ...problem.causes].join('; ')}`)
}

async function writeFault(
  cluster: Cluster,
  write: FaultWrite,
  { kind, namespace, name }: FaultObject,
  lease: Lease,
  mark: FaultMark,
): Promise<void> {
  if (write.kind === 'create') {
    const annotations = { [experimentAnnotation]: JSON.stringify(mark) }
    const metadata = { ...write.object.metadata, annotations, ownerReferences: [ownerReference(lease)] }
    await cluster
      .create({ ...write.object, metadata })
      .catch((problem: unknown) => explain(problem, kind, namespace, name))
    return
  }
  const { object, operations } = write
  const asRead: PatchOperation = {
    op: 'test',
    path: '/metadata/resourceVersion',
    value: object.metadata.resourceVersion,
  }
  await cluster.patch(kind, namespace, name, [asRead, ...markPatch(object, mark), ...operations])
}
