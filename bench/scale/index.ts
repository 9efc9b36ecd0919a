// Measures how the cost grows with pods, services and canaries, against the embedded mesh's real API server. The pods are
// on a node without a kubelet, and one process answers for all of their sidecars.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { runner } from '../../test/e2e/runner.ts'
import { embeddedMesh } from '../../test/e2e/world.ts'
import { table } from '../mesh/index.ts'
import { growthExponent } from './growth.ts'
import type { Costs, PodsRow } from './inside.ts'

export async function bench(): Promise<{ table: string; result: object }> {
  const testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const istio = JSON.stringify({ version: '1.31.0', profile: 'minimal' })
  const installed = await machine.main({ ...testCluster.inputs, stages: 'install', istio, metrics: '' })
  machine.remove()
  if (installed.code !== 0) throw new Error(`Istio could not be installed:\n${installed.log}`)
  const costs = await measureInside(testCluster.runner)
  return podsResult(costs.pods)
}

/** Runs inside.ts in the mesh's network. */
function measureInside({
  enter = (argv) => [...argv],
  env = {},
}: Parameters<typeof runner>[0] & object): Promise<Costs> {
  const [program = '', ...args] = enter([process.execPath, join(import.meta.dirname, 'inside.ts')])
  return new Promise((done, fail) => {
    const child = execFile(program, args, { env: { ...process.env, ...env }, maxBuffer: 64 << 20 }, (error, stdout) =>
      error ? fail(new Error(error.message)) : done(JSON.parse(stdout) as Costs),
    )
    child.stderr?.pipe(process.stderr)
  })
}

function podsResult(rows: PodsRow[]): { table: string; result: object } {
  const cells = rows.map(({ pods, sample, verify }) => [
    String(pods),
    sample.seconds.toFixed(2),
    String(sample.incomplete),
    String(Math.round(sample.requests)),
    megabytes(sample.bytes),
    sample.cpuSeconds.toFixed(2),
    megabytes(sample.peakBytes),
    verify.seconds.toFixed(1),
    String(verify.requests),
  ])
  const growth = (cost: (row: PodsRow) => number) =>
    growthExponent(rows.map((row) => ({ size: row.pods, cost: cost(row) })))
  return {
    table: table(
      ['pods', 's per sample', 'incomplete', 'requests', 'MB', 'CPU s', 'peak MB', 'verify s', 'requests'],
      cells,
    ),
    result: {
      pods: rows,
      growth: {
        sampleSeconds: growth(({ sample }) => sample.seconds),
        sampleRequests: growth(({ sample }) => sample.requests),
        sampleBytes: growth(({ sample }) => sample.bytes),
        sampleCpuSeconds: growth(({ sample }) => sample.cpuSeconds),
        samplePeakBytes: growth(({ sample }) => sample.peakBytes),
        verifySeconds: growth(({ verify }) => verify.seconds),
        verifyRequests: growth(({ verify }) => verify.requests),
      },
    },
  }
}

const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
