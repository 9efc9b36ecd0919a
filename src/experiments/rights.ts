// The rights that an experiment needs, as it asks the API server for them. Pure.
import type { Right } from '../cluster/client.ts'

export type Needed = Omit<Right, 'namespace'>

export function verbs(group: string, resource: string, ...all: string[]): Needed[] {
  return all.map((verb) => ({ group, resource, verb }))
}
