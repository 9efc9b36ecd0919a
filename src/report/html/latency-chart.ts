// The latencies of both versions as histograms. Pure.
import { inPercent } from '../../statistics/percent.ts'
import type { Times } from '../../canary/analysis/request-counts.ts'
import type { LatencyReport, PromotionReport } from '../report.ts'
import { niceMost } from './axis.ts'
import type { ChartSpec } from './chart-spec.ts'

export function latencyChart(
  { canary, stable }: Pick<PromotionReport, 'canary' | 'stable'>,
  latency: LatencyReport,
  group: string,
): ChartSpec {
  const edges = usedEdges(latency)
  const [ofCanary, ofStable] = [shares(latency.canary, edges), shares(latency.stable, edges)]
  return {
    id: `${group}-latency`,
    // Buckets are no times, so the cursor of the other charts means nothing here.
    group: `${group}-latency`,
    title: 'Latencies',
    x: edges.map((_, i) => i),
    xName: 'answered within',
    categories: edges.map(edgeName),
    unit: '%',
    scale: { kind: 'linear', low: 0, high: niceMost([...ofCanary, ...ofStable].map((each) => each ?? 0)) },
    series: [
      { name: `${canary}, ${latency.canary.total} timed requests`, role: 'canary', draw: 'bars', values: ofCanary },
      { name: `${stable}, ${latency.stable.total} timed requests`, role: 'stable', draw: 'bars', values: ofStable },
    ],
  }
}

/** The bucket edges in milliseconds, from the first to the last bucket with requests. */
function usedEdges({ canary, stable }: LatencyReport): number[] {
  const edges = Object.keys({ ...canary.within, ...stable.within })
    .map(Number)
    .sort((a, b) => a - b)
  const within = (edge: number) => (canary.within[edge] ?? 0) + (stable.within[edge] ?? 0)
  const most = Math.max(...edges.map(within))
  const first = edges.findIndex((edge) => within(edge) > 0)
  const last = edges.findIndex((edge) => within(edge) >= most)
  return edges.slice(Math.max(0, first), last + 1)
}

/** The share of the timed requests in each bucket, in per cent. */
function shares({ total, within }: Times, edges: number[]): (number | null)[] {
  return edges.map((edge, i) => {
    if (total === 0) return null
    const below = i === 0 ? 0 : (within[edges[i - 1]!] ?? 0)
    return inPercent(((within[edge] ?? 0) - below) / total)
  })
}

function edgeName(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`
}
