// Which namespace and labels a monitor or a rule needs, so that the Prometheus of the operator selects it. Pure.
import { matches } from '../../cluster/labels.ts'

type Expression = { key: string; operator: string; values?: string[] }
/** As in Kubernetes: absent selects nothing, and an empty one everything. */
export type LabelSelector = { matchLabels?: Record<string, string>; matchExpressions?: Expression[] }
type Labels = Readonly<Record<string, string>>
export type LabelledNamespace = { name: string; labels: Labels }
/** Where an object goes, and with which labels. */
export type Placement = { namespace: string; labels: Labels }

export function selects(selector: LabelSelector, labels: Labels): boolean {
  return (
    matches(selector.matchLabels ?? {}, labels) &&
    (selector.matchExpressions ?? []).every((each) => holds(each, labels))
  )
}

function holds({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = labels[key]
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    default:
      return value === undefined
  }
}

/**
 * The labels that make the selector select an object that has `own` already; undefined if no labels do, because the
 * selector contradicts itself or `own`.
 */
export function labelsFor(selector: LabelSelector, own: Labels): Labels | undefined {
  const wanted = { ...selector.matchLabels, ...Object.fromEntries((selector.matchExpressions ?? []).flatMap(wantedBy)) }
  const labels = { ...own, ...wanted, ...selector.matchLabels }
  const isKept = Object.entries(own).every(([key, value]) => labels[key] === value)
  return isKept && selects(selector, labels) ? labels : undefined
}

function wantedBy({ key, operator, values = [] }: Expression): [string, string][] {
  if (operator === 'In' && values[0] !== undefined) return [[key, values[0]]]
  return operator === 'Exists' ? [[key, 'true']] : []
}

/**
 * The first of the namespaces in which Prometheus looks for objects of this kind. `home`: the namespace of Prometheus,
 * where alone it looks without a selector.
 */
export function placeFor(
  selector: LabelSelector | undefined,
  home: string,
  candidates: readonly LabelledNamespace[],
): string | undefined {
  if (selector === undefined) return home
  return candidates.find(({ name, labels }) => selects(selector, { 'kubernetes.io/metadata.name': name, ...labels }))
    ?.name
}
