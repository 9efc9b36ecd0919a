// A fault that Chaos Mesh injects: its object, whom it concerns, and what Chaos Mesh says of it.
import type { Cluster } from '../../cluster/client.ts'
import { matches } from '../../cluster/labels.ts'
import type { KubeObject, Pod } from '../../cluster/objects.ts'
import { chaosObjectFaults, type ChaosObject } from '../../config/check/chaos-mesh.ts'
import { ConfigError } from '../../config/error.ts'
import type { ExperimentConfig } from '../../config/schema.ts'
import { chaosKindFault } from '../../config/schema/chaos-mesh.ts'
import { object } from '../../policies/compile/names.ts'
import { parseManifests } from '../../policies/manifests/manifests.ts'
import type { FaultObject } from './fault-object.ts'

export type ChaosMesh = NonNullable<ExperimentConfig['inject']['chaosMesh']>

const key = 'inject.chaosMesh.file'

/** The object of the config, or of its file. @throws ConfigError if the file has no object that can be injected. */
export function chaosObjectOf({ file, kind, spec }: ChaosMesh, namespace: string): ChaosObject {
  if (kind && spec) return { kind, spec }
  const [found, another] = parseManifests(key, [file!])
  if (!found || another)
    throw new ConfigError(`${key}: ${file} has ${found ? 'several objects' : 'no object'}; write one`)
  const { apiVersion = '', kind: written, spec: own } = found.object as Partial<typeof found.object>
  const fault = apiVersion.startsWith('chaos-mesh.org/')
    ? chaosKindFault(written)
    : 'expected an object of chaos-mesh.org'
  if (fault !== undefined) throw new ConfigError(`${key}: ${found.source}: ${written}: ${fault}`)
  const read = { kind: written, spec: own } as ChaosObject
  const faults = chaosObjectFaults(read, namespace)
  if (faults.length === 0) return read
  throw new ConfigError(
    faults.map(({ path, message }) => `${key}: ${found.source}: ${path.join('.')}: ${message}`).join('\n'),
  )
}

/** How long after the end of a fault Chaos Mesh removes it by itself, if nobody else has. */
const spareSeconds = 60

/** Selects pods of the namespace only. Chaos Mesh ends it by itself some time after the experiment has to. */
export function chaosManifest(
  namespace: string,
  name: string,
  { inject, confirmTimeout, duration }: ExperimentConfig,
): KubeObject {
  const { kind, spec } = chaosObjectOf(inject.chaosMesh!, namespace)
  const target = spec['target'] as { selector?: object } | undefined
  return object(kind, namespace, name, {
    ...spec,
    selector: inNamespace(spec['selector'], namespace),
    ...(target ? { target: { ...target, selector: inNamespace(target.selector, namespace) } } : {}),
    duration: `${Math.ceil((confirmTimeout + duration) / 1000) + spareSeconds}s`,
  })
}

function inNamespace(selector: unknown, namespace: string): object {
  return { ...(selector as object), namespaces: [namespace] }
}

export function labelsOfChaos({ spec }: ChaosObject): Record<string, string> {
  return (spec['selector'] as { labelSelectors: Record<string, string> }).labelSelectors
}

/** The labels that select pods: of the object itself, and of the other side of a network fault. */
export function chaosSelectors(
  { inject: { chaosMesh } }: ExperimentConfig,
  namespace: string,
): Record<string, string>[] {
  if (!chaosMesh) return []
  const chaos = chaosObjectOf(chaosMesh, namespace)
  const target = targetLabels(chaos)
  return [labelsOfChaos(chaos), ...(target ? [target] : [])]
}

/** Of the other side of a network fault. */
export function targetLabels({ spec }: ChaosObject): Record<string, string> | undefined {
  const target = spec['target'] as { selector?: { labelSelectors?: Record<string, string> } } | undefined
  return target?.selector?.labelSelectors
}

/** Whether the fault concerns the pod. */
export function chaosTarget(experiment: ExperimentConfig, namespace: string): ((pod: Pod) => boolean) | undefined {
  const { chaosMesh } = experiment.inject
  if (!chaosMesh) return undefined
  const labels = labelsOfChaos(chaosObjectOf(chaosMesh, namespace))
  return ({ metadata }) => metadata.namespace === namespace && matches(labels, metadata.labels)
}

/** How many of the pods that the object selects it affects at most. */
export function affectedByChaos({ spec }: ChaosObject, selected: number): number {
  const value = Number(spec['value'])
  switch (spec['mode']) {
    case 'one':
      return Math.min(1, selected)
    case 'fixed':
      return Math.min(value, selected)
    case 'fixed-percent':
    case 'random-max-percent':
      return Math.min(selected, Math.ceil((value / 100) * selected))
    default:
      return selected
  }
}

type ChaosStatus = {
  conditions?: { type: string; status: string }[]
  experiment?: { desiredPhase?: string; containerRecords?: { id?: string; phase?: string }[] }
}

/**
 * The pods on which the fault acts, each once; none until it acts on all. The condition AllInjected outlives the fault's
 * end, so Chaos Mesh must also want it to run. Chaos Mesh does not notice that a pod is replaced, so they are known by their
 * uid, as `live` has it; a pod that the fault kills no longer exists, and is known by its name.
 */
export async function actingOn(
  cluster: Cluster,
  { kind, namespace, name }: FaultObject,
  live: readonly Pod[],
): Promise<string[]> {
  const found = await cluster.get<KubeObject & Pick<ChaosObject, 'spec'> & { status?: ChaosStatus }>(
    kind,
    namespace,
    name,
  )
  const { conditions = [], experiment } = found?.status ?? {}
  const isTrue = (type: string) => conditions.some((each) => each.type === type && each.status === 'True')
  if (!isTrue('Selected') || !isTrue('AllInjected') || experiment?.desiredPhase !== 'Run') return []
  const injected = experiment.containerRecords?.filter(({ phase }) => phase === 'Injected') ?? []
  // namespace/pod, or namespace/pod/container
  const names = new Set(injected.map(({ id = '' }) => id.split('/', 2).join('/')))
  if (found?.spec['action'] === 'pod-kill') return [...names]
  return live
    .filter(({ metadata }) => names.has(`${metadata.namespace}/${metadata.name}`))
    .map(({ metadata }) => metadata.uid ?? metadata.name)
}
