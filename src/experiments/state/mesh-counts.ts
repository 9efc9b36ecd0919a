// What the callers' sidecars counted of the mesh's own work, and whether it is as expected. Pure.
import { meshExpectations, type CountBounds, type MeshExpectation } from '../../config/schema/experiments.ts'

/** `isComplete`: false if some caller does not publish the counter, so that there may be more. */
export type MeshCount = { count: number; isComplete: boolean }
export type MeshCounts = Record<MeshExpectation, MeshCount>

export const noMeshCounts: MeshCounts = mapCounts(() => ({ count: 0, isComplete: true }))

function mapCounts(of: (name: MeshExpectation) => MeshCount): MeshCounts {
  return Object.fromEntries(meshExpectations.map((name) => [name, of(name)])) as MeshCounts
}

export function addMeshCounts(a: MeshCounts, b: MeshCounts): MeshCounts {
  return mapCounts((name) => ({
    count: a[name].count + b[name].count,
    isComplete: a[name].isComplete && b[name].isComplete,
  }))
}

/** How the counts are called in sentences. */
export const meshCountNames: Record<MeshExpectation, string> = {
  retries: 'retries',
  retrySuccesses: 'successful retries',
  timeouts: 'timeouts',
  ejections: 'ejections',
  overflows: 'requests over a connection limit',
}

/** One sentence for each expectation that is not met (`missed`), and that the counters cannot answer (`unseen`). */
export function compareCounts(
  expected: Partial<Record<MeshExpectation, CountBounds | undefined>>,
  counts: MeshCounts,
): { missed: string[]; unseen: string[] } {
  const missed: string[] = []
  const unseen: string[] = []
  for (const name of meshExpectations) {
    const bounds = expected[name]
    if (!bounds) continue
    const { count, isComplete } = counts[name]
    const { min = 0, max = Infinity } = bounds
    const what = `expected ${describeBounds(bounds)} ${meshCountNames[name]}`
    if (count > max || (count < min && isComplete)) missed.push(`${what}, counted ${count}`)
    else if (!isComplete && (count < min || max !== Infinity))
      unseen.push(`${what}, and not every caller publishes them`)
  }
  return { missed, unseen }
}

function describeBounds({ min, max }: CountBounds): string {
  if (max === 0) return 'no'
  if (min !== undefined && max !== undefined) return `${min} to ${max}`
  return max === undefined ? `at least ${min ?? 0}` : `at most ${max}`
}
