// How stable gets what was released: its ConfigMaps and Secrets, its pod template, and the labels by which proxies find it.
import type { Cluster, PatchOperation } from '../cluster/client.ts'
import type { DestinationRule, Kind, KubeObject, Workload } from '../cluster/objects.ts'
import type { CreatedCanary, ReleaseAdoption } from '../canary/controller/context.ts'
import { restoreMinReplicas, type AutoscalerDeps } from '../canary/workload/min-replicas.ts'
import { hashOfTemplate, releaseHash } from '../canary/workload/fingerprint.ts'
import { createdCanaryLabel } from '../config/names.ts'
import { hostOf } from '../policies/compile/names.ts'
import { fullHost } from '../policies/routes.ts'
import { commitOf, waitForCommit, type Commit } from './commit.ts'
import { proportionalCapacity } from './capacity.ts'
import { removeCanary, scaleCanaryToZero } from './canary.ts'
import { dataOf } from './manifests.ts'
import type { Release } from './plan.ts'

/** `publish`: tells the pipeline what to commit, if Git owns stable. */
export type CanaryDeps = AutoscalerDeps & { publish: (commit: Commit) => void }

/** `deployment`: the canary, as it was created. */
export function createdCanary(
  cluster: Cluster,
  release: Release,
  deployment: Workload,
  deps: CanaryDeps,
): CreatedCanary {
  const { plan, stable } = release
  const title = `Deployment/${deployment.metadata.name}`
  const remove = async () => {
    await removeCanary(cluster, deployment)
    return `${title} is removed`
  }
  const keep = async () => {
    await scaleCanaryToZero(cluster, deployment)
    return `${title} is scaled to 0 (\`onFail: keep\`); the next release replaces it`
  }
  const cleanUp = async () => {
    const { unrestored } = await restoreMinReplicas(cluster, stable.metadata.namespace ?? '', plan.service, deps)
    if (unrestored !== undefined)
      return (
        `${title} keeps running: the next run with this release continues with it, and one with another release ` +
        'removes it'
      )
    return plan.onFail === 'keep' ? keep() : remove()
  }
  const full = stable.spec.replicas ?? 1
  return {
    template: hashOfTemplate(deployment.spec.template),
    adoption: { ...adoptionOf(cluster, release, deps), remove },
    cleanUp,
    ...(plan.replicas === 'proportional' ? { capacity: proportionalCapacity(cluster, plan, full, deployment) } : {}),
  }
}

function adoptionOf(cluster: Cluster, release: Release, { publish }: CanaryDeps): Omit<ReleaseAdoption, 'remove'> {
  const awaitCommit: ReleaseAdoption['awaitCommit'] = (deps) => {
    publish(commitOf(release))
    return waitForCommit(cluster, release, deps)
  }
  return {
    ...(release.plan.after === 'gitops' ? { awaitCommit } : {}),
    templateFor: (stable) => {
      if (releaseHash(stable.spec.template) === releaseHash(release.stable.spec.template)) return release.template
      throw new Error(
        `Deployment/${stable.metadata.name} was changed during the release, and this run would undo that; ` +
          'the traffic stays on the canary: run again, and the release starts from the new state',
      )
    },
    writeConfigs: () => writeConfigs(cluster, release),
    updateSubset: (stable) => relabelSubset(cluster, release, stable),
  }
}

/** Returns how to give the ConfigMaps and Secrets their old data again. */
async function writeConfigs(cluster: Cluster, { configs }: Release): Promise<() => Promise<void>> {
  const undos: (() => Promise<unknown>)[] = []
  const undo = async () => void (await Promise.all(undos.map((each) => each())))
  for (const object of configs.stable)
    undos.push(
      await writeConfig(cluster, object).catch(async (problem: unknown) => {
        await undo()
        throw problem
      }),
    )
  return undo
}

async function writeConfig(cluster: Cluster, object: KubeObject): Promise<() => Promise<unknown>> {
  const { namespace, name } = object.metadata
  const kind = object.kind as Kind
  const write = (operations: PatchOperation[]) => cluster.patch(kind, namespace, name, operations)
  const live = await cluster.get<KubeObject>(kind, namespace, name)
  const isShared = live !== undefined && live.metadata.labels?.[createdCanaryLabel] === undefined
  if (isShared) await write(dataPatch(object))
  else await (live ? write(handOver(object)) : cluster.create(object))
  return () => (isShared ? write(dataPatch({ ...live, kind: object.kind })) : Promise.resolve())
}

/** From here on it belongs to stable, and outlives the canary. */
function handOver({ metadata }: KubeObject): PatchOperation[] {
  return [
    { op: 'add', path: '/metadata/labels', value: metadata.labels ?? {} },
    { op: 'remove', path: '/metadata/ownerReferences' },
  ]
}

/** Replaces all data: server-side apply would leave what another manager has written. */
function dataPatch(object: KubeObject): PatchOperation[] {
  if (object.kind === 'Secret') return [{ op: 'add', path: '/data', value: dataOf(object) }]
  const { data = {}, binaryData = {} } = object as KubeObject & Record<'data' | 'binaryData', object | undefined>
  return [
    { op: 'add', path: '/data', value: data },
    { op: 'add', path: '/binaryData', value: binaryData },
  ]
}

/** The new pods of stable may have another value of the label that tells them from the canary. */
async function relabelSubset(cluster: Cluster, { plan, distinction }: Release, stable: Workload): Promise<void> {
  if (distinction.by === 'service') return
  const value = stable.spec.template.metadata?.labels?.[distinction.key]
  if (value === distinction.value) return
  const { namespace = '', name } = stable.metadata
  if (value === undefined)
    throw new Error(
      `the new pods of Deployment/${name} have no label ${distinction.key}, by which the run tells them from the canary; ` +
        'the traffic stays on the canary: give them that label again, with any value, and run again',
    )
  const rules = await cluster.list<DestinationRule>('DestinationRule', namespace)
  for (const { metadata, spec } of rules) {
    const index = (spec.subsets ?? []).findIndex(({ name }) => name === plan.stable.name)
    if (index < 0 || fullHost(spec.host, namespace) !== hostOf(plan.service, namespace)) continue
    await cluster.patch('DestinationRule', namespace, metadata.name, [
      { op: 'test', path: `/spec/subsets/${index}/name`, value: plan.stable.name },
      { op: 'add', path: `/spec/subsets/${index}/labels`, value: { [distinction.key]: value } },
    ])
  }
}
