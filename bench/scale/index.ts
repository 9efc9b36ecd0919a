// Measures how the cost grows with pods, services and canaries, against the embedded mesh's real API server. The pods are
// on a node without a kubelet, and one process answers for all of their sidecars.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { runner, type RunnerOptions } from '../../test/e2e/runner.ts'
import { embeddedMesh } from '../../test/e2e/world.ts'
import { table } from '../mesh/index.ts'
import { growthExponent } from './growth.ts'
import { istioVersion } from './layout.ts'
import type { Costs } from './measure.ts'

export async function bench(): Promise<{ table: string; result: object }> {
  const testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const istio = JSON.stringify({ version: istioVersion, profile: 'minimal' })
  const installed = await machine.main({ ...testCluster.inputs, stages: 'install', istio, metrics: '' })
  machine.remove()
  if (installed.code !== 0) throw new Error(`Istio could not be installed:\n${installed.log}`)
  const { pods, services, canaries } = await measureInside(testCluster.runner)
  const parts = [
    part('pods', pods, podColumns),
    part('services', services, serviceColumns),
    part('canaries', canaries, canaryColumns),
  ]
  return {
    table: parts.flatMap((each) => each?.table ?? []).join('\n\n'),
    result: Object.assign({}, ...parts.map((each) => each?.result)) as object,
  }
}

/** Runs measure.ts in the mesh's network. */
function measureInside({ enter = (argv) => [...argv], env = {} }: RunnerOptions): Promise<Costs> {
  const [program = '', ...args] = enter([process.execPath, join(import.meta.dirname, 'measure.ts')])
  return new Promise((done, fail) => {
    const child = execFile(program, args, { env: { ...process.env, ...env }, maxBuffer: 64 << 20 }, (error, stdout) =>
      error ? fail(new Error(error.message)) : done(JSON.parse(stdout) as Costs),
    )
    child.stderr?.pipe(process.stderr)
  })
}

/** A cost by size: its key in the result, its head in the table, and its unit as a divisor and digits. */
type Column<Row> = { key: string; head: string; cost: (row: Row) => number; per?: number; digits?: number }

const podColumns: Column<Costs['pods'][number]>[] = [
  { key: 'sampleSeconds', head: 'sample s', cost: ({ sample }) => sample.seconds, digits: 2 },
  { key: 'sampleRequests', head: 'requests', cost: ({ sample }) => sample.requests },
  { key: 'sampleBytes', head: 'MB', cost: ({ sample }) => sample.bytes, per: 1e6, digits: 1 },
  { key: 'sampleCpuSeconds', head: 'CPU s', cost: ({ sample }) => sample.cpuSeconds, digits: 2 },
  { key: 'peakBytes', head: 'peak MB', cost: ({ sample }) => sample.peakBytes, per: 1e6 },
  { key: 'startSeconds', head: 'start s', cost: ({ sample }) => sample.startSeconds, digits: 1 },
  { key: 'verifySeconds', head: 'verify s', cost: ({ verify }) => verify.seconds, digits: 1 },
  { key: 'verifyRequests', head: 'requests', cost: ({ verify }) => verify.requests },
  { key: 'verifyPeakBytes', head: 'peak MB', cost: ({ verify }) => verify.peakBytes, per: 1e6 },
]

const serviceColumns: Column<Costs['services'][number]>[] = (['plan', 'apply', 'again', 'init'] as const).flatMap(
  (run) => [
    { key: `${run}Seconds`, head: `${run} s`, cost: (row) => row[run].seconds, digits: 1 },
    { key: `${run}Requests`, head: 'requests', cost: (row) => row[run].requests },
  ],
)

const canaryColumns: Column<Costs['canaries'][number]>[] = [
  { key: 'pollSeconds', head: 'poll s', cost: ({ pollSeconds }) => pollSeconds, digits: 2 },
  { key: 'requestsPerPoll', head: 'requests', cost: ({ requestsPerPoll }) => requestsPerPoll },
  { key: 'requestsPerSecond', head: 'requests/s', cost: ({ requestsPerSecond }) => requestsPerSecond },
  { key: 'watches', head: 'watches', cost: ({ watches }) => watches },
  { key: 'peakBytes', head: 'peak MB', cost: ({ peakBytes }) => peakBytes, per: 1e6 },
]

/** The last line of the table says how each cost grows: 1 is linear, 0 is flat. */
function part<Row extends { size: number }>(name: string, rows: Row[], columns: Column<Row>[]) {
  if (rows.length === 0) return undefined
  const growth = Object.fromEntries(
    columns.map(({ key, cost }) => [key, growthExponent(rows.map((row) => ({ size: row.size, cost: cost(row) })))]),
  )
  const cells = rows.map((row) => [
    String(row.size),
    ...columns.map(({ cost, per = 1, digits = 0 }) => (cost(row) / per).toFixed(digits)),
  ])
  const exponents = ['growth', ...columns.map(({ key }) => growth[key]?.toFixed(2) ?? '-')]
  return {
    table: table([name, ...columns.map(({ head }) => head)], [...cells, exponents]),
    result: { [name]: rows, [`${name}Growth`]: growth },
  }
}
