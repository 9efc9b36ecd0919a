// Measures whether an injected fault is always removed: the run killed or cancelled at every point of an experiment, the API
// server, istiod or Chaos Mesh's controller killed while the fault acts. On the real mesh, with a user who calls the
// backend 50 times a second. FAULTS='acts|istiod' runs only the cases whose names match.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startChaosMesh } from '../../test/e2e/chaos-mesh.ts'
import type { ActionRun } from '../../test/e2e/runner.ts'
import { accountKubeconfig, applyRights, metricNames } from '../../test/e2e/world.ts'
import {
  apiServerKilled,
  guardSeconds,
  istiodKilled,
  limitSeconds,
  podsKilled,
  sigint,
  sigkill,
  waitForHealthyCluster,
  waitUntil,
  type Fault,
} from '../faults/faults.ts'
import { waitForPoint } from '../faults/points.ts'
import { kubectl, setUpBench, table, userLog, type Bench } from '../mesh/index.ts'

const namespace = 'sample-app'
const logs = 'out/bench/experiments'

/** What the run logs there, and how long after it the fault happens. */
type Point = { name: string; line: RegExp; afterMs: number }

const at = (name: string, line: RegExp, ...delays: number[]): Point[] =>
  delays.map((afterMs) => ({ name: afterMs === 0 ? name : `${name}, after ${afterMs} ms`, line, afterMs }))

const points: Point[] = [
  ...at('before the claim', /^::group::experiment/, 0, 300),
  ...at('steady state', /trial: watching the steady state/, 0, 1_500),
  ...at('the fault is written', /trial: injecting the fault/, 0, 100, 300),
  ...at('the fault acts', /trial: the fault acts/, 0, 700, 2_000),
  ...at('the fault is removed', /trial: removing the fault/, 0),
  ...at('the recovery is watched', /removed the fault from/, 0),
]

/** `injects`: the experiment of the run. */
type Case = { fault: Fault; point: Point; injects: keyof typeof experiments }
type Row = {
  fault: string
  point: string
  injected: string
  verdict: string | undefined
  secondsToRecovered: number
  left: string[]
}

const nameOf = ({ fault, point, injects }: Case) =>
  `${fault.name}: ${point.name}${injects === 'chaosMesh' ? ' (Chaos Mesh)' : ''}`

function cases(): Case[] {
  const wanted = new RegExp(process.env['FAULTS'] ?? '', 'i')
  const acting = points.find(({ name }) => name === 'the fault acts')!
  const all = [
    ...points.flatMap((point) => [sigkill, sigint].map((fault): Case => ({ fault, point, injects: 'abort' }))),
    ...[apiServerKilled, istiodKilled].map((fault): Case => ({ fault, point: acting, injects: 'abort' })),
    ...[sigkill, chaosMeshKilled].map((fault): Case => ({ fault, point: acting, injects: 'chaosMesh' })),
  ]
  const chosen = all.filter((each) => wanted.test(nameOf(each)))
  if (chosen.length > 0) return chosen
  throw new Error(`FAULTS=${wanted.source}: no case has such a name; there are:\n${all.map(nameOf).join('\n')}`)
}

/** Until Kubernetes has started it again, nobody can end a fault of Chaos Mesh. */
const chaosMeshKilled = podsKilled("Chaos Mesh's controller killed", 'chaos-mesh', 'app=chaos-controller-manager')

const common = {
  service: 'backend',
  expect: { successRate: '30%' },
  stopBelow: '1%',
  steadyState: '2s',
  duration: '4s',
  recoverWithin: '20s',
  guard: `${guardSeconds}s`,
  metrics: metricNames,
}
/** Chaos Mesh kills a pod that the users do not call: what counts is that nothing stays. */
const podKill = { action: 'pod-kill', mode: 'one', selector: { labelSelectors: { app: 'frontend' } } }
const experiments = {
  abort: { ...common, inject: { abort: { status: 503, percent: '50%' } } },
  chaosMesh: { ...common, maxAffected: '100%', inject: { chaosMesh: { kind: 'PodChaos', spec: podKill } } },
}

type ExperimentBench = Bench & { kubeconfig: string; folder: string }

export async function bench(): Promise<{ table: string; result: object }> {
  const chosen = cases()
  const mesh = await setUpBench('healthy', { rps: 50, keepAlive: true })
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-experiments-'))
  for (const [name, trial] of Object.entries(experiments))
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ namespace, experiments: { trial } }))
  const endChaosMesh = await startChaosMesh(mesh.testCluster, folder)
  await applyRights(mesh.testCluster, folder, namespace, ['experiment.yaml'])
  await kubectl(mesh.testCluster, 'label', 'namespace', namespace, 'mesh-canary.io/experiments=allowed', '--overwrite')
  const kubeconfig = await accountKubeconfig(mesh.testCluster, folder, namespace, 'mesh-canary-experiment')
  const setup = { ...mesh, kubeconfig, folder }
  mkdirSync(logs, { recursive: true })
  const rows: Row[] = []
  for (const each of chosen) {
    const row = await play(setup, each)
    rows.push(row)
    console.log(`${nameOf(each)}: recovered after ${row.secondsToRecovered.toFixed(1)} s, left: ${row.left.length}`)
    await waitForHealthyCluster()
    await waitUntil('something of the experiment is left', async () => (await leftOf(setup)).length === 0)
  }
  await endChaosMesh()
  await mesh.end()
  rmSync(folder, { recursive: true })
  return summarize(rows)
}

async function play(setup: ExperimentBench, each: Case): Promise<Row> {
  const { fault, point, injects } = each
  const config = join(setup.folder, `${injects}.json`)
  const trigger = await fault.arm(setup.testCluster)
  const watch = waitForPoint(setup.testCluster, point)
  let kill: (signal: NodeJS.Signals) => void = () => undefined
  // The mesh's input `metrics` is for a canary, and the config has none.
  const inputs = { config, kubeconfig: setup.kubeconfig, stages: 'experiment', metrics: '' }
  const ended = setup.act(inputs, { onLine: watch.onLine, onStart: (_, how) => (kill = how) })
  const early = await Promise.race([watch.reached, ended])
  // A run that never gets there shows nothing, and nothing would be left of it.
  if (early) throw new Error(`the run ended before the point "${point.name}":\n${early.log}`)
  const faultAt = Date.now()
  await trigger({ kill: (signal) => kill(signal), ended, act: (more) => setup.act({ ...inputs, ...more }) })
  const main = await ended
  const post = fault.post ? await setup.post(main.state) : undefined
  writeFileSync(
    `${logs}/${nameOf(each).replace(/[^A-Za-z0-9]+/g, '-')}.log`,
    `${main.log}\n--- post\n${post?.log ?? ''}`,
  )
  const left = await leftAfterLimit(setup, main)
  return {
    fault: fault.name,
    point: point.name,
    injected: injects,
    verdict: verdictOf(main),
    secondsToRecovered: await recovery(setup, faultAt),
    left,
  }
}

const verdictOf = ({ outputs }: ActionRun) => outputs['experiment-verdict']

/** What is left when nobody has to act any more. Kubernetes needs some seconds to delete what belonged to a Lease. */
async function leftAfterLimit(setup: ExperimentBench, main: ActionRun): Promise<string[]> {
  const limitMs = (limitSeconds + (verdictOf(main) === undefined ? 10 : 5)) * 1_000
  for (const from = Date.now(); ; await sleep(200)) {
    const left = await leftOf(setup).catch((problem: unknown) => [String(problem)])
    if (left.length === 0 || Date.now() - from > limitMs) return left
  }
}

type Found = {
  kind: string
  metadata: { name: string; annotations?: Record<string, string> }
  spec?: { renewTime?: string; leaseDurationSeconds?: number }
}

async function leftOf(setup: Bench): Promise<string[]> {
  const kinds = 'leases,jobs,virtualservices,destinationrules,authorizationpolicies,podchaos'
  const { items } = JSON.parse(await kubectl(setup.testCluster, 'get', kinds, '-o', 'json')) as { items: Found[] }
  const isOurs = (object: Found) =>
    /mesh-canary-fault|mesh-canary.io.experiment|mesh-canary-(experiment-)?backend/.test(JSON.stringify(object))
  return items
    .filter((each) => isOurs(each) && !hasExpired(each))
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
}

/**
 * A Lease of a run that was killed before its guard began to watch. Nothing was injected by then, nobody is there to delete
 * it, and it holds nobody up once it has expired.
 */
function hasExpired({ kind, metadata, spec: { renewTime = '', leaseDurationSeconds = 0 } = {} }: Found): boolean {
  const isGuarded = metadata.annotations?.['mesh-canary.io/guard'] !== undefined
  return kind === 'Lease' && !isGuarded && Date.parse(renewTime) + leaseDurationSeconds * 1_000 < Date.now()
}

/** Seconds until the last failed response. */
async function recovery(setup: Bench, faultAt: number): Promise<number> {
  await sleep(2_000)
  const lines = await userLog(setup.testCluster, faultAt)
  const failed = lines.filter(({ at, status = 200 }) => at >= faultAt && status !== 200)
  return failed.length === 0 ? 0 : (failed.at(-1)!.at - faultAt) / 1000
}

function summarize(rows: Row[]): { table: string; result: object } {
  const leftBehind = rows.filter(({ left }) => left.length > 0).length
  const lost = rows.filter(({ fault }) => [sigkill.name, sigint.name].includes(fault))
  const slowestSecondsToRecovered = Math.max(0, ...lost.map(({ secondsToRecovered }) => secondsToRecovered))
  const cells = rows.map(({ fault, point, injected, verdict, secondsToRecovered, left }) => [
    fault,
    point,
    injected,
    verdict ?? '',
    secondsToRecovered.toFixed(1),
    left.join(', ') || 'nothing',
  ])
  const heads = ['fault', 'point', 'experiment', 'the run says', 's to recovered', 'left behind']
  return {
    table: [
      table(heads, cells),
      `guard: ${guardSeconds} s; left behind: ${leftBehind}; slowest recovery after the loss of a run: ` +
        `${slowestSecondsToRecovered.toFixed(1)} s of ${limitSeconds} s`,
    ].join('\n'),
    result: { leftBehind, slowestSecondsToRecovered, guardSeconds, limitSeconds, faults: rows },
  }
}
