// Exceptions of mutual TLS that select the same pods.
import type { Config } from '../schema.ts'
import type { Fault } from './fault.ts'

/** Of two exceptions for one pod, Istio follows the older, and a run writes both at once. */
export function mtlsFaults({ mtls }: Config): Fault[] {
  const all = Object.entries(mtls?.workloads ?? {})
  return all.flatMap(([name, exception], i) => {
    const other = all.slice(0, i).find(([, { selector }]) => contains(selector, exception.selector))
    return other
      ? [
          {
            path: ['mtls', 'workloads', name],
            message:
              `it selects pods that \`mtls.workloads.${other[0]}\` selects as well, and Istio follows only one of ` +
              'two; merge them, or add labels to the selectors that tell the pods apart',
          },
        ]
      : []
  })
}

/** True if one selector contains the other, so that pods of the narrower one have both. */
function contains(a: Record<string, string>, b: Record<string, string>): boolean {
  const isWithin = (narrow: typeof a, wide: typeof a) =>
    Object.entries(wide).every(([key, value]) => narrow[key] === value)
  return isWithin(a, b) || isWithin(b, a)
}
