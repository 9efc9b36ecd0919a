// Which settings a config asks for, and which of them a control plane that somebody else installed lacks. Pure.
import { leafChanges, type LeafChange } from '../cluster/leaves.ts'
import { keyOf, titleOf, type KubeObject } from '../cluster/objects.ts'
import type { ControlPlaneChanges } from './control-plane-changes.ts'
import { contentOf } from './manifests.ts'

/**
 * One entry for each setting that the config asks for and the cluster lacks, such as `ConfigMap istio-system/istio,
 * data.mesh.accessLogFile: the config asks for /dev/stdout, and it is not set`. A config asks for what differs between
 * `desired`, its manifests, and `plain`, those of a config without settings; the rest is left to the other installer.
 */
export function lackingSettings(
  desired: readonly KubeObject[],
  plain: readonly KubeObject[],
  { changes, unseen }: ControlPlaneChanges,
): string[] {
  const plainOf = new Map(plain.map((object) => [keyOf(object), object]))
  const changeOf = new Map(changes.map((change) => [keyOf(change.object), change]))
  const asked = desired
    .map((object) => ({ object, paths: askedPaths(object, plainOf.get(keyOf(object))) }))
    .filter(({ paths }) => paths.size > 0)
  const of = ({ object }: { object: KubeObject }) => changeOf.get(keyOf(object))
  const absent = asked.filter((each) => of(each)?.action === 'create' && !plainOf.has(keyOf(each.object)))
  const differing = asked.flatMap((each) =>
    (of(each)?.leaves ?? []).filter(({ path }) => each.paths.has(path)).map((leaf) => sentenceOf(each.object, leaf)),
  )
  const unknown = unseen.filter(({ object }) => asked.some((each) => each.object === object))
  return [
    ...absent.map(({ object }) => `${titleOf(object)} does not exist`),
    ...differing,
    ...unknown.map(({ object, why }) => `${titleOf(object)} cannot be compared with the config: ${why}`),
  ]
}

function askedPaths(object: KubeObject, plain: KubeObject | undefined): Set<string> {
  const leaves = leafChanges(plain && contentOf(plain), contentOf(object), { byName: true })
  return new Set(leaves.flatMap(({ path, after }) => (after === undefined ? [] : [path])))
}

function sentenceOf(object: KubeObject, { path, before, after }: LeafChange): string {
  const live = before === undefined ? 'it is not set' : `it is ${before}`
  return `${titleOf(object)}, ${path}: the config asks for ${after ?? 'nothing'}, and ${live}`
}
