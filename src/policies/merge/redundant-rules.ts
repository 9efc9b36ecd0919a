// Leaves out the DestinationRules of the config that only repeat the subsets of one of the user's own, such as the one
// of a chart. Pure.
import { isDeepStrictEqual } from 'node:util'
import type { DestinationRule, KubeObject } from '../../cluster/objects.ts'
import { mergeKey } from './merge-hosts.ts'
import type { Subset } from '../subsets.ts'

/** `rules`: the user's, in manifests and in the cluster. */
export function withoutRepeatedRules(compiled: readonly KubeObject[], rules: readonly DestinationRule[]): KubeObject[] {
  return compiled.filter((object) => !rules.some((rule) => isRepeated(object, rule)))
}

function isRepeated(object: KubeObject, rule: DestinationRule): boolean {
  if (object.kind !== 'DestinationRule' || mergeKey(object) !== mergeKey(rule)) return false
  const { spec } = object as DestinationRule
  return spec['trafficPolicy'] === undefined && (spec.subsets ?? []).every((subset) => hasSubset(rule, subset))
}

function hasSubset({ spec }: DestinationRule, { name, labels = {} }: Subset): boolean {
  return (spec.subsets ?? []).some((each) => each.name === name && isDeepStrictEqual(each.labels ?? {}, labels))
}
