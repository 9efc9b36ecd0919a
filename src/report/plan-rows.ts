// The rows of a plan, and what a run has made of them. Pure.
import { plural } from '../runtime/plural.ts'
import type { PlanRow, Report } from './report.ts'

type ObjectName = Pick<PlanRow, 'kind' | 'namespace' | 'name'>

/** An object of the cluster has a namespace before its name. */
export function objectName({ namespace, name }: Omit<ObjectName, 'kind'>): string {
  return namespace === '' ? name : `${namespace}/${name}`
}

export function objectTitle(object: ObjectName): string {
  return `${object.kind} ${objectName(object)}`
}

/** As lines of a diff. */
export function planLines(rows: readonly PlanRow[]): string[] {
  return rows.flatMap((row) => [`# ${objectTitle(row)}: ${row.action}`, ...row.diff])
}

/** Without what is new: the first installation creates dozens of objects. */
export function withoutCreated(rows: readonly PlanRow[] = []): PlanRow[] {
  return rows.filter(({ action }) => action !== 'create')
}

/** A plan is recorded before it is applied, and a run may end in between. `unknown`: somewhere in the middle. */
type PlanState = { kind: 'planned' | 'applied' | 'unapplied' | 'unknown' } | { kind: 'partial'; applied: number }

export function policyState({ dryRun, changes, plan = [] }: Report): PlanState {
  if (dryRun) return { kind: 'planned' }
  const changed = new Set(changes.filter(({ moved }) => !moved).map(objectTitle))
  const applied = plan.filter((row) => changed.has(objectTitle(row))).length
  if (applied === plan.length) return { kind: 'applied' }
  return applied === 0 ? { kind: 'unapplied' } : { kind: 'partial', applied }
}

/** The changes of istioctl are no changes of the report: its result stands for all. */
export function meshState({ dryRun, mesh, stages }: Report): PlanState {
  if (dryRun) return { kind: 'planned' }
  if (mesh && mesh.action !== 'unchanged') return { kind: 'applied' }
  return { kind: stages.some(({ name }) => name === 'install') ? 'unknown' : 'unapplied' }
}

/** Such as "Planned policies". */
export function planTitle(what: string, { kind }: PlanState): string {
  if (kind === 'applied') return `Applied ${what}`
  if (kind === 'planned') return `Planned ${what}`
  return `Planned ${what}, not applied${kind === 'unapplied' ? '' : ' in full'}`
}

/** Such as "2 objects would change". */
export function planCount(rows: readonly PlanRow[], state: PlanState): string {
  const objects = plural(rows.length, 'object')
  switch (state.kind) {
    case 'planned':
      return `${objects} would change`
    case 'applied':
      return `${objects} changed`
    case 'unapplied':
      return `${objects} planned, and not changed`
    case 'unknown':
      return `${objects} planned, and the installation did not finish`
    case 'partial':
      return `${state.applied} of ${objects} changed`
  }
}

export function removedTitle({ dryRun }: Report): string {
  return dryRun ? 'Would be removed' : 'Removed'
}
