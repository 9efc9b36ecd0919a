// Measures whether traffic ends on one healthy version whatever fails during a run: its process killed or cancelled at
// every point, or frozen until its guard has acted; its Lease or guard deleted; a second pipeline beside it; the API
// server, istiod or containerd killed or unreachable. On the real mesh, at 50 requests a second.
// FAULTS='step 50|istiod' runs only the cases whose names match.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ActionRun, Inputs } from '../../test/e2e/runner.ts'
import { delivererKubeconfig } from '../../test/e2e/world.ts'
import { kubectl, leaseHolder, setUpBench, table, userLog, type Bench } from '../mesh/index.ts'
import {
  waitForHealthyCluster,
  apiServerPaused,
  apiServerKilled,
  apiServerKilledOften,
  containerdKilled,
  frozen,
  guardSeconds,
  istiodKilled,
  limitSeconds,
  sigint,
  sigkill,
  sigkillWhileApiServerPaused,
  waitUntil,
  type Fault,
} from './faults.ts'
import { describeEnding, endMs, type Ending } from './ending.ts'
import {
  canaryFails,
  waitForPoint,
  middleOfStep50,
  points,
  promotionDecided,
  rollbackDecided,
  step50Saved,
  type Point,
} from './points.ts'
import {
  dripping,
  guardDeleted,
  guardKilled,
  leaseDeleted,
  secondPolicies,
  secondPromotion,
  secondRollback,
  sigkillAfterGuardDeleted,
} from './faults-by-others.ts'

const requestsPerSecond = 50
const plan = { stages: 'promote', steps: '10, 50, 100', interval: '3s', guard: `${guardSeconds}s` }
const logs = 'out/bench/faults'

/**
 * `inputs`: for all cases, with only the rights of a delivery, because an administrator would not notice missing
 * rights.
 */
type FaultBench = Bench & { inputs: Inputs }
type Case = { fault: Fault; point: Point }
type Row = { fault: string; point: string; verdict: string | undefined } & Ending

const nameOf = ({ fault, point }: Case) => `${fault.name}: ${point.name}`

const casesByOthers: Case[] = [
  ...[leaseDeleted, secondPromotion, secondPolicies].map((fault) => ({ fault, point: step50Saved })),
  ...[leaseDeleted, guardKilled, guardDeleted, sigkillAfterGuardDeleted].map((fault) => ({
    fault,
    point: middleOfStep50,
  })),
  ...[secondPromotion, secondRollback, secondPolicies].map((fault) => ({ fault, point: middleOfStep50 })),
  ...[leaseDeleted, secondPromotion].map((fault) => ({ fault, point: promotionDecided })),
  ...[dripping, secondPolicies].map((fault) => ({ fault, point: canaryFails })),
  ...[leaseDeleted, secondPolicies, secondRollback].map((fault) => ({ fault, point: rollbackDecided })),
]

/**
 * Cases with a healthy v2 come first, because another v2 takes seconds to roll out; faults of the cluster come last.
 */
function cases(): Case[] {
  const wanted = new RegExp(process.env['FAULTS'] ?? '', 'i')
  const ofRun = (['healthy', 'failing'] as const).flatMap((v2) => [
    ...points.filter((point) => point.v2 === v2).map((point) => ({ fault: sigkill, point })),
    ...points.filter((point) => point.v2 === v2 && point.alsoSigint).map((point) => ({ fault: sigint, point })),
    ...points.filter((point) => point.v2 === v2 && point.alsoFrozen).map((point) => ({ fault: frozen, point })),
    ...casesByOthers.filter(({ point }) => point.v2 === v2),
  ])
  const ofCluster: Case[] = [
    ...[apiServerKilled, apiServerKilledOften].map((fault) => ({ fault, point: rollbackDecided })),
    { fault: apiServerKilled, point: step50Saved },
    ...[apiServerKilled, apiServerPaused, sigkillWhileApiServerPaused, istiodKilled, containerdKilled].map((fault) => ({
      fault,
      point: middleOfStep50,
    })),
  ]
  const all = [...ofRun, ...ofCluster]
  const chosen = all.filter((benchCase) => wanted.test(nameOf(benchCase)))
  if (chosen.length === 0)
    throw new Error(`FAULTS=${wanted.source}: no case has such a name; there are:\n${all.map(nameOf).join('\n')}`)
  return chosen
}

export async function bench(): Promise<{ table: string; result: object }> {
  const chosen = cases()
  const mesh = await setUpBench('healthy', { rps: requestsPerSecond, keepAlive: true })
  const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-faults-'))
  const setup = { ...mesh, inputs: { ...plan, kubeconfig: await delivererKubeconfig(mesh.testCluster, folder) } }
  mkdirSync(logs, { recursive: true })
  console.log(`${chosen.length} cases, guard ${guardSeconds} s, safe within ${limitSeconds} s`)
  const rows: Row[] = []
  const missed: string[] = []
  let v2: Point['v2'] = 'healthy'
  const began = Date.now()
  for (const benchCase of chosen) {
    if (benchCase.point.v2 !== v2) await deployV2(setup, (v2 = benchCase.point.v2))
    const row = await playUntilHit(setup, benchCase)
    if (row) rows.push(row)
    else missed.push(nameOf(benchCase))
    console.log(
      `[${Math.round((Date.now() - began) / 1000)} s] ${nameOf(benchCase)}: ${row ? summaryOf(row) : missedText}`,
    )
    await backToStart(setup)
  }
  await mesh.end()
  rmSync(folder, { recursive: true })
  return summarize(rows, missed)
}

const tries = 3
const missedText = `the run was past that point ${tries} times`

/** Repeats a case a few times if the run was faster than the sign of its point. */
async function playUntilHit(setup: FaultBench, benchCase: Case): Promise<Row | undefined> {
  for (let attempt = 1; ; attempt++) {
    const row = await play(setup, benchCase)
    if (row || attempt === tries) return row
    await backToStart(setup)
  }
}

/** Undefined if the fault did not happen at that point. */
async function play(setup: FaultBench, benchCase: Case): Promise<Row | undefined> {
  const { fault, point } = benchCase
  const triggerFault = await fault.arm(setup.testCluster)
  const pointWatch = waitForPoint(setup.testCluster, point.sign)
  const logLines: string[] = []
  const onLine = (line: string) => (logLines.push(line), pointWatch.onLine(line))
  let kill: (signal: NodeJS.Signals) => void = () => undefined
  const ended = setup.act({ ...setup.inputs, ...point.inputs }, { onLine, onStart: (_, toKill) => (kill = toKill) })
  const isReached = await Promise.race([pointWatch.reached.then(() => true), ended.then(() => false)])
  const faultAt = Date.now()
  const before = logLines.join('\n')
  pointWatch.close()
  const act = (inputs: Inputs) => setup.act({ ...setup.inputs, ...inputs })
  const laterAt = isReached ? await triggerFault({ kill: (signal) => kill(signal), ended, act }) : undefined
  const main = await ended
  const post = fault.post ? await setup.post(main.state) : undefined
  writeLog(benchCase, before, main.log.slice(before.length), post ? `--- post\n${post.log}` : '')
  // A run that reports its verdict was not killed in time. The log of a killed run may lack lines that were under way.
  const faultHit =
    isReached &&
    (point.isAtPoint?.(fault.post ? before : main.log) ?? true) &&
    (fault.post || main.outputs['verdict'] === undefined)
  if (!faultHit) return undefined
  await waitForEnd(setup, laterAt ?? faultAt, fault)
  return rate(setup, benchCase, laterAt ?? faultAt, main)
}

/** Writes the log without the `add-mask` lines, which only the runner needs. */
function writeLog(benchCase: Case, before: string, after: string, post: string): void {
  const text = [before, `--- ${nameOf(benchCase)}`, after.trim(), post].join('\n')
  writeFileSync(logFile(benchCase), text.replaceAll(/^::add-mask::.*\n/gm, ''))
}

async function rate(setup: FaultBench, benchCase: Case, faultAt: number, { outputs }: ActionRun): Promise<Row> {
  const { fault, point } = benchCase
  const healthy = point.v2 === 'healthy' ? ['v1', 'v2'] : ['v1']
  const { verdict } = outputs
  const lines = await userLog(setup.testCluster, faultAt)
  const ending = describeEnding(lines, {
    faultAt,
    healthy,
    requestsPerSecond,
    ...(fault.limitSeconds === undefined ? {} : { limitSeconds: fault.limitSeconds }),
    ...(verdict === undefined ? {} : { verdict }),
  })
  if (!ending.safe)
    writeFileSync(
      logFile(benchCase),
      `--- unsafe: ${ending.why!}; struck at ${new Date(faultAt).toISOString()}\n${await clusterState(setup)}`,
      { flag: 'a' },
    )
  return { fault: fault.name, point: point.name, verdict, ...ending }
}

const logFile = (benchCase: Case) =>
  `${logs}/${nameOf(benchCase)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')}.log`

/** Waits until no promotion is unfinished or the limit is over, and then long enough to see where the traffic ends. */
async function waitForEnd(setup: FaultBench, faultAt: number, fault: Fault): Promise<void> {
  const until = faultAt + (fault.limitSeconds ?? limitSeconds) * 1000
  const holder = () => leaseHolder(setup.testCluster).catch(() => 'not known')
  while (Date.now() < until && (await holder()) !== '') await sleep(500)
  // The user logs once a second.
  await sleep(endMs + 1_100)
}

/** The state of the cluster that explains an unsafe ending. */
async function clusterState(setup: FaultBench): Promise<string> {
  const commands = [
    ['get', 'virtualservice', 'backend', '-o', 'jsonpath={.spec.http}'],
    ['get', 'lease', '-o', 'yaml'],
    ['get', 'pods,jobs', '-o', 'wide'],
    ['logs', '-l', 'mesh-canary.io/guard', '--prefix', '--tail=50'],
    ['get', 'events', '--sort-by=.lastTimestamp'],
  ]
  const texts = await Promise.all(
    commands.map(
      async (args) => `--- kubectl ${args.join(' ')}\n${await kubectl(setup.testCluster, ...args).catch(String)}`,
    ),
  )
  return texts.join('\n')
}

/** Returns to all traffic on v1, no promotion, no guard, and a healthy cluster. */
async function backToStart(setup: FaultBench): Promise<void> {
  await waitForHealthyCluster()
  await setup.testCluster.run(['kubectl', '-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=60s'])
  const { code, log } = await setup.act({ ...setup.inputs, stages: 'rollback' })
  if (code !== 0) throw new Error(`the traffic could not be returned to stable for the next case:\n${log}`)
  await waitUntil(
    'a Lease or a guard is left',
    async () => (await kubectl(setup.testCluster, 'get', 'leases,jobs', '-o', 'name')) === '',
  )
  // The rollback has to reach the proxies.
  await sleep(1_000)
}

async function deployV2(setup: FaultBench, v2: Point['v2']): Promise<void> {
  await kubectl(setup.testCluster, 'set', 'env', 'deploy/backend-v2', v2 === 'failing' ? 'FAIL_RATE=0.5' : 'FAIL_RATE-')
  await kubectl(setup.testCluster, 'rollout', 'status', 'deploy/backend-v2', '--timeout=120s')
}

const seconds = (row: Row) => row.secondsToSafe?.toFixed(1) ?? '–'

function summaryOf(row: Row): string {
  const verdict = row.verdict === undefined ? '' : `, ${row.verdict}`
  return `${row.endState}, ${seconds(row)} s, ${row.failedRequests} failed requests${verdict}${row.safe ? '' : `: UNSAFE, ${row.why!}`}`
}

function summarize(rows: Row[], missed: string[]): { table: string; result: object } {
  const unsafeEndings = rows.filter(({ safe }) => !safe).length
  // Faults of the cluster do not count here: the promotion may continue at its own pace, and nobody can act without the
  // API server.
  const lossesOfRuns = [sigkill, sigint, frozen, leaseDeleted, sigkillAfterGuardDeleted].map(({ name }) => name)
  const lost = rows.filter(({ fault }) => lossesOfRuns.includes(fault))
  const slowestSecondsToSafe = Math.max(0, ...lost.flatMap(({ secondsToSafe }) => secondsToSafe ?? []))
  const cells = rows.map((row) => [
    row.fault,
    row.point,
    row.verdict ?? '',
    row.endState,
    seconds(row),
    `${row.failedRequests}`,
    row.safe ? 'yes' : 'NO',
  ])
  return {
    table: [
      table(['fault', 'point', 'the run says', 'end state', 's to safe', 'failed requests', 'safe'], cells),
      `guard: ${guardSeconds} s; unsafe endings: ${unsafeEndings}; slowest to safe after the loss of a run: ` +
        `${slowestSecondsToSafe.toFixed(1)} s of ${limitSeconds} s`,
      ...missed.map((name) => `${name}: ${missedText}`),
    ].join('\n'),
    result: {
      unsafeEndings,
      slowestSecondsToSafe,
      guardSeconds,
      limitSeconds,
      requestsPerSecond,
      faults: rows,
      missed,
    },
  }
}
