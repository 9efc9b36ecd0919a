// Measures on the real mesh how fast a bad canary loses its traffic, and how many requests fail until then: 50 requests
// a second, 20% of the canary's responses are 500s, first step 10%. Time runs from its first response to a user to its
// last. DETECT_RUNS sets the number of runs.
import { join } from 'node:path'
import { setUpBench, expectVerdict, median, table } from '../mesh/index.ts'

const runs = Number(process.env['DETECT_RUNS'] ?? 20)
const config = join(import.meta.dirname, 'mesh.yaml')

export async function bench(): Promise<{ table: string; result: object }> {
  const mesh = await setUpBench('failing', { rps: 50, keepAlive: true })
  const rows: {
    secondsToSafe: number
    failedRequests: number
    canaryRequests: number
    secondsToDetect: number | undefined
    reason: string
  }[] = []
  for (let run = 0; run < runs; run++) {
    const { result, counts } = await mesh.watch(() => mesh.act({ stages: 'promote', config }))
    expectVerdict(result, 'rolled-back')
    const promotion = result.report!.promotions[0]!
    rows.push({
      secondsToSafe: (counts.lastV2! - counts.firstV2!) / 1000,
      failedRequests: counts.failed,
      canaryRequests: counts.v2,
      secondsToDetect: promotion.secondsToDetect,
      reason: promotion.reason,
    })
  }
  await mesh.end()
  const medianSecondsToSafe = median(rows.map(({ secondsToSafe }) => secondsToSafe))
  const worstSecondsToSafe = Math.max(...rows.map(({ secondsToSafe }) => secondsToSafe))
  const medianFailedRequests = median(rows.map(({ failedRequests }) => failedRequests))
  const cells = rows.map((row, i) => [
    `${i + 1}`,
    row.secondsToSafe.toFixed(1),
    `${row.failedRequests}`,
    `${row.canaryRequests}`,
    row.secondsToDetect?.toFixed(1) ?? '',
  ])
  return {
    table: table(
      ['run', 's to safe', 'failed requests', 'canary requests', 's to detect'],
      [...cells, ['median', medianSecondsToSafe.toFixed(1), `${medianFailedRequests}`, '', '']],
    ),
    result: {
      medianSecondsToSafe,
      medianFailedRequests,
      worstSecondsToSafe,
      alpha: 0.01,
      requestsPerSecond: 50,
      failing: 0.2,
      firstStep: 10,
      runs: rows.length,
      each: rows,
    },
  }
}
