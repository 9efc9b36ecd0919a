// What the callers' sidecars counted of the mesh's own work, and whether it is as expected. Pure.
import { meshExpectations, type CountBounds, type MeshExpectation } from '../../config/schema/experiments.ts'

/**
 * `isComplete`: false if some caller does not publish the counter, so that there may be more. `isPublished`: true if some
 * caller does.
 */
export type MeshCount = { count: number; isComplete: boolean; isPublished: boolean }
export type MeshCounts = Record<MeshExpectation, MeshCount>

export const noMeshCounts: MeshCounts = mapCounts(() => ({
  count: 0,
  isComplete: true,
  isPublished: false,
}))

function mapCounts(of: (name: MeshExpectation) => MeshCount): MeshCounts {
  return Object.fromEntries(meshExpectations.map((name) => [name, of(name)])) as MeshCounts
}

export function addMeshCounts(a: MeshCounts, b: MeshCounts): MeshCounts {
  return mapCounts((name) => ({
    count: a[name].count + b[name].count,
    isComplete: a[name].isComplete && b[name].isComplete,
    isPublished: a[name].isPublished || b[name].isPublished,
  }))
}

/** How the counts are called in sentences. */
const meshCountNames: Record<MeshExpectation, string> = {
  retries: 'retries',
  retrySuccesses: 'successful retries',
  timeouts: 'timeouts',
  ejections: 'ejections',
  overflows: 'requests over a connection limit',
}

/** One sentence for each expectation that is not met (`missed`), and that the counters cannot answer (`notPublished`). */
export function compareCounts(
  expected: Partial<Record<MeshExpectation, CountBounds | undefined>>,
  counts: MeshCounts,
): { missed: string[]; notPublished: string[] } {
  const missed: string[] = []
  const notPublished: string[] = []
  for (const name of meshExpectations) {
    const bounds = expected[name]
    if (!bounds) continue
    const { count, isComplete, isPublished } = counts[name]
    const isKnown = isComplete && isPublished
    const { min = 0, max = Infinity } = bounds
    const what = `expected ${describeBounds(bounds)} ${meshCountNames[name]}`
    if (count > max || (count < min && isKnown)) missed.push(`${what}, counted ${count}`)
    else if (!isKnown && (count < min || max !== Infinity))
      notPublished.push(
        `${what}, and ${isPublished || !isComplete ? 'not every caller publishes them' : 'nobody called'}`,
      )
  }
  return { missed, notPublished }
}

function describeBounds({ min, max }: CountBounds): string {
  if (max === 0) return 'no'
  if (min !== undefined && max !== undefined) return `${min} to ${max}`
  return max === undefined ? `at least ${min ?? 0}` : `at most ${max}`
}
