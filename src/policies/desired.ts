// All that a config wants of the mesh: what compiles from it and the user's own manifests, one object a host.
import type { KubeObject } from '../cluster/objects.ts'
import type { Config } from '../config/schema.ts'
import { liveWeights, type Live } from './apply.ts'
import { compile } from './compile/index.ts'
import { readManifests, type Sourced } from './manifests.ts'
import { merge } from './merge.ts'

/** `notes` say what was merged, `warnings` what is doubtful: a sentence each. */
export type Desired = { objects: KubeObject[]; notes: string[]; warnings: string[] }

/** @throws ConfigError when a manifest is faulty, or two sources contradict each other. Without a cluster nothing is `live`. */
export function desired(config: Config, live: Live = { virtualServices: [], destinationRules: [] }): Desired {
  const compiled = compile(config, liveWeights(config, live))
  const own = compiled.objects.map((object): Sourced => ({ object, source: 'the config' }))
  const { objects, notes } = merge([...own, ...readManifests(config.policies ?? [], config.namespace)])
  return { objects, notes, warnings: compiled.warnings }
}
