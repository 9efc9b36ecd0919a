// The stages of a run, in the order in which they run.
import { listOf } from '../values/lists.ts'

export const stageNames = [
  'cluster',
  'plan',
  'install',
  'inject',
  'policies',
  'observe',
  'verify',
  'edge',
  'retire',
  'promote',
  'experiment',
  'rollback',
  'uninstall',
] as const
export type StageName = (typeof stageNames)[number]

export const stages = listOf(
  `stages out of ${stageNames.join(', ')}`,
  (item) => stageNames.find((name) => name === item),
  { items: { enum: stageNames } },
)
