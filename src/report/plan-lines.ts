// The rows of a plan as lines of a diff. Pure.
import type { PlanRow } from './report.ts'

export function planLines(rows: readonly PlanRow[]): string[] {
  return rows.flatMap(({ action, kind, namespace, name, diff }) => [
    `# ${kind} ${namespace}/${name}: ${action}`,
    ...diff,
  ])
}

/** Without what is new: the first installation creates dozens of objects. */
export function withoutCreated(rows: readonly PlanRow[] = []): PlanRow[] {
  return rows.filter(({ action }) => action !== 'create')
}
