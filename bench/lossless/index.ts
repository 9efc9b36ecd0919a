// Measures whether users lose requests while traffic moves: a healthy canary goes from 0 to 100, then a forced
// rollback. Each runs at 200 requests a second, on kept-alive and on new connections, without retries.
import { setUpBench, expectVerdict, startUser, table, type UserCounts } from '../mesh/index.ts'

const runs = 5

export async function bench(): Promise<{ table: string; result: object }> {
  const mesh = await setUpBench('healthy', { rps: 200, keepAlive: true })
  const rows: { connections: string; run: number; up: UserCounts; back: UserCounts }[] = []
  for (const keepAlive of [true, false]) {
    await startUser(mesh.testCluster, { rps: 200, keepAlive })
    for (let run = 1; run <= runs; run++) {
      const up = await mesh.watch(() => mesh.act({ stages: 'promote', interval: '5s' }))
      expectVerdict(up.result, 'promoted')
      const back = await mesh.watch(() => mesh.act({ stages: 'rollback' }))
      expectVerdict(back.result, 'rolled-back')
      rows.push({ connections: keepAlive ? 'kept alive' : 'new', run, up: up.counts, back: back.counts })
    }
  }
  await mesh.end()
  const failedRequests = rows.reduce((sum, { up, back }) => sum + up.failed + back.failed, 0)
  const cells = rows.map(({ connections, run, up, back }) => [
    connections,
    `${run}`,
    `${up.sent}`,
    `${up.failed}`,
    `${back.sent}`,
    `${back.failed}`,
  ])
  return {
    table: `${table(['connections', 'run', 'sent, 0 → 100', 'failed', 'sent, rollback', 'failed'], cells)}\nfailed in all: ${failedRequests}`,
    result: {
      failedRequests,
      requestsPerSecond: 200,
      sent: rows.reduce((sum, { up, back }) => sum + up.sent + back.sent, 0),
      runs: rows,
    },
  }
}
