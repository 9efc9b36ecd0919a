// Which settings a config asks for, and which of them a control plane that somebody else installed lacks. Pure.
import { leafChanges, type LeafChange } from '../cluster/leaves.ts'
import { keyOf, titleOf, type KubeObject } from '../cluster/objects.ts'
import type { ControlPlaneChange } from './control-plane-changes.ts'
import { contentOf } from './manifests.ts'

/**
 * One entry for each setting that the config asks for and the cluster lacks, such as `ConfigMap istio-system/istio,
 * data.mesh.accessLogFile: the config asks for /dev/stdout, and it is not set`. A config asks for what differs between
 * `desired`, its manifests, and `plain`, those of a config without settings; the rest is left to the other installer.
 */
export function lackingSettings(
  desired: readonly KubeObject[],
  plain: readonly KubeObject[],
  changes: readonly ControlPlaneChange[],
): string[] {
  const plainOf = new Map(plain.map((object) => [keyOf(object), object]))
  const changeOf = new Map(changes.map((change) => [keyOf(change.object), change]))
  const absent = desired.filter(
    (object) => changeOf.get(keyOf(object))?.action === 'create' && !plainOf.has(keyOf(object)),
  )
  const differing = desired.flatMap((object) => {
    const change = changeOf.get(keyOf(object))
    if (change?.action !== 'change') return []
    const before = plainOf.get(keyOf(object))
    const asked = leafChanges(before && contentOf(before), contentOf(object), { byName: true })
    const paths = new Set(asked.flatMap(({ path, after }) => (after === undefined ? [] : [path])))
    return change.leaves.filter(({ path }) => paths.has(path)).map((leaf) => sentenceOf(object, leaf))
  })
  return [...absent.map((object) => `${titleOf(object)} does not exist`), ...differing]
}

function sentenceOf(object: KubeObject, { path, before, after }: LeafChange): string {
  const live = before === undefined ? 'it is not set' : `it is ${before}`
  return `${titleOf(object)}, ${path}: the config asks for ${after ?? 'nothing'}, and ${live}`
}
