// Compares releases of this program, of Argo Rollouts and of Flagger on one mesh, each engine with its own analysis and with
// ours: 50 requests a second, a canary that fails 20%, first step 10%. Time runs from the canary's first response to a
// user to its last. Then healthy releases: how many are rolled back, how long they take, what users lose, and how many
// requests the API server gets. Last, the engines as their documentation sets them up, which takes minutes each.
// ENGINES_FAILING, ENGINES_HEALTHY and ENGINES_DOCUMENTED set the number of rounds, ENGINES_ARMS the arms (a part of their
// names), ENGINES_MINUTES when no release begins any more.
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEngines } from '../../test/e2e/engines.ts'
import { importAddons } from '../../test/mesh/index.ts'
import { runner } from '../../test/e2e/runner.ts'
import { applyObjects, embeddedMesh, sampleImage, sampleImages, type TestCluster } from '../../test/e2e/world.ts'
import { median, startUser, table, watch } from '../mesh/index.ts'
import { armsOf, type Arm } from './arms.ts'
import { namespace, prometheus } from './objects.ts'

const number = (name: string, byDefault: number) => Number(process.env[name] ?? byDefault)
const failingRounds = number('ENGINES_FAILING', 8)
/** Pairs of releases: to the next image, and back to the first. */
const healthyRounds = number('ENGINES_HEALTHY', 2)
const documentedRounds = number('ENGINES_DOCUMENTED', 1)
const wanted = process.env['ENGINES_ARMS']
const endsAt = Date.now() + number('ENGINES_MINUTES', 24 * 60) * 60_000

type Failing = { verdict: string; secondsToSafe: number; failedUsers: number; canaryRequests: number; reason: string }
type Healthy = {
  verdict: string
  isUndecided: boolean
  seconds: number
  failedUsers: number
  apiRequestsPerSecond: number
  reason: string
}
type Results = { arm: Arm; failing: Failing[]; healthy: Healthy[] }

const nameOf = ({ engine, settings }: Arm) => `${engine}, ${settings}`
const isDocumented = ({ settings }: Arm) => settings === 'as documented'

export async function bench(): Promise<{ table: string; result: object }> {
  const testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const arms = armsOf({ testCluster, machine }).filter((arm) => wanted === undefined || nameOf(arm).includes(wanted))
  const stopEngines = await setUp(testCluster, machine, arms)
  const results: Results[] = arms.map((arm) => ({ arm, failing: [], healthy: [] }))
  const problems: string[] = []
  /** What could not be measured is in the result as well. */
  const attempt = async (arm: Arm, release: () => Promise<void>): Promise<void> => {
    if (Date.now() > endsAt) return void problems.push(`${nameOf(arm)}: no time left`)
    await release().catch((error: unknown) => {
      problems.push(`${nameOf(arm)}: ${String(error).slice(0, 400)}`)
      console.error(problems.at(-1))
    })
  }
  const failing = async (each: Results) =>
    attempt(each.arm, async () => void each.failing.push(await releaseFailing(testCluster, each.arm)))
  const quick = results.filter(({ arm }) => !isDocumented(arm))
  try {
    // Interleaved, so that a busy minute of the machine hits every arm.
    for (let round = 0; round < failingRounds; round++) for (const each of quick) await failing(each)
    for (let round = 0; round < healthyRounds; round++)
      for (const each of quick)
        for (const image of [sampleImages.next, sampleImage])
          await attempt(each.arm, async () => {
            each.healthy.push(await releaseHealthy(testCluster, each.arm, image))
          })
    for (let round = 0; round < documentedRounds; round++)
      for (const each of results.filter(({ arm }) => isDocumented(arm))) await failing(each)
  } finally {
    await stopEngines()
    rmSync(machine.home, { recursive: true, force: true })
  }
  return { table: tableOf(results), result: resultOf(results, problems) }
}

async function setUp(
  testCluster: TestCluster,
  machine: ReturnType<typeof runner>,
  arms: readonly Arm[],
): Promise<() => Promise<void>> {
  const { mirror = '', overlays = '' } = testCluster.inputs
  const installed = await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'minimal' })
  if (installed.code !== 0) throw new Error(`the mesh could not be prepared:\n${installed.log}`)
  await importAddons('prometheus')
  await testCluster.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait'])
  const labels = { 'istio-injection': 'enabled' }
  await applyObjects(testCluster, [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }])
  await applyObjects(testCluster, prometheus)
  const stopEngines = await startEngines(testCluster, machine.home)
  await applyObjects(
    testCluster,
    arms.flatMap(({ objects }) => objects),
  )
  const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', namespace, ...args])
  await kubectl('rollout', 'status', 'deploy/prometheus', '--timeout=120s')
  for (const { objects, app } of arms) {
    const kind = (objects as { kind: string }[]).find((each) => each.kind === 'Rollout' || each.kind === 'Canary')?.kind
    const phase = kind === 'Rollout' ? 'Healthy' : 'Initialized'
    if (kind)
      await kubectl('wait', `${kind.toLowerCase()}/${app}`, `--for=jsonpath={.status.phase}=${phase}`, '--timeout=180s')
    else await kubectl('rollout', 'status', `deploy/${app}`, '--timeout=120s')
  }
  return stopEngines
}

async function releaseFailing(testCluster: TestCluster, arm: Arm): Promise<Failing> {
  await startUser(testCluster, { rps: 50, keepAlive: true, host: arm.app })
  const { result, counts } = await watch(testCluster, () => arm.release(sampleImages.failing))
  if (result.verdict === 'rolled-back') await arm.reset()
  const { firstV2, lastV2, failed, v2 } = counts
  const secondsToSafe = firstV2 === undefined || lastV2 === undefined ? 0 : (lastV2 - firstV2) / 1000
  console.error(`${nameOf(arm)}: ${result.verdict}, ${secondsToSafe.toFixed(1)} s, ${failed} failed`)
  return { verdict: result.verdict, secondsToSafe, failedUsers: failed, canaryRequests: v2, reason: result.reason }
}

const idleMs = 5_000

async function releaseHealthy(testCluster: TestCluster, arm: Arm, image: string): Promise<Healthy> {
  await startUser(testCluster, { rps: 50, keepAlive: true, host: arm.app })
  const idleBefore = await apiRequests(testCluster)
  await sleep(idleMs)
  const before = await apiRequests(testCluster)
  const { result, counts } = await watch(testCluster, () => arm.release(image))
  const after = await apiRequests(testCluster)
  if (result.verdict === 'rolled-back') await arm.reset()
  const { verdict, isUndecided = false, seconds, polls, reason } = result
  const idle = (before - idleBefore) / (idleMs / 1000)
  // The watch takes four and a half seconds more than the release.
  const apiRequestsPerSecond = (after - before - polls - idle * (seconds + 4.5)) / seconds
  console.error(
    `${nameOf(arm)}, healthy: ${verdict}${isUndecided ? ' (undecided)' : ''}, ${seconds.toFixed(1)} s, ${counts.failed} failed, ` +
      `${apiRequestsPerSecond.toFixed(1)} requests/s`,
  )
  return { verdict, isUndecided, seconds, failedUsers: counts.failed, apiRequestsPerSecond, reason }
}

/** The number of requests that the API server has answered, without watches. */
async function apiRequests({ run }: TestCluster): Promise<number> {
  const lines = (await run(['kubectl', 'get', '--raw', '/metrics'])).split('\n')
  return lines
    .filter((line) => line.startsWith('apiserver_request_total{') && !line.includes('verb="WATCH"'))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

const heads = [
  'arm',
  'runs',
  's to safe',
  'range',
  'failed users',
  'missed',
  'healthy',
  'rolled back',
  's over steps',
  'lost',
  'API/s',
  'API/sample',
]

function tableOf(results: readonly Results[]): string {
  const shown = (value: number | null, digits = 1) => (value === null ? '-' : value.toFixed(digits))
  return table(
    heads,
    results
      .map(rowOf)
      .map((row) => [
        `${row.engine}, ${row.settings}`,
        `${row.runs}`,
        shown(row.medianSecondsToSafe),
        row.range.join('-'),
        shown(row.medianFailedRequests, 0),
        `${row.missed}`,
        `${row.healthyRuns}`,
        `${row.falseRollbacks}`,
        shown(row.medianSecondsOverSteps),
        `${row.lostRequests}`,
        shown(row.apiRequestsPerSecond),
        shown(row.apiRequestsPerSample),
      ]),
  )
}

const rounded = (value: number) => Math.round(value * 10) / 10
const notBelowZero = (value: number | null) => (value === null ? null : Math.max(0, value))
const medianOf = (values: number[]) => (values.length === 0 ? null : rounded(median(values)))

function rowOf({ arm, failing, healthy }: Results) {
  // A canary that was never rolled back has no time, and counts as missed.
  const found = failing.filter(({ verdict }) => verdict === 'rolled-back')
  const seconds = found.map(({ secondsToSafe }) => secondsToSafe)
  const promoted = healthy.filter(({ verdict }) => verdict === 'promoted')
  return {
    engine: arm.engine,
    settings: arm.settings,
    analysis: arm.analysis,
    runs: failing.length,
    medianSecondsToSafe: medianOf(seconds),
    range: seconds.length === 0 ? [] : [rounded(Math.min(...seconds)), rounded(Math.max(...seconds))],
    medianFailedRequests: medianOf(failing.map(({ failedUsers }) => failedUsers)),
    missed: failing.length - found.length,
    healthyRuns: healthy.length,
    falseRollbacks: healthy.length - promoted.length,
    undecided: healthy.filter(({ isUndecided }) => isUndecided).length,
    medianSecondsOverSteps: medianOf(promoted.map(({ seconds }) => seconds - arm.stepsSeconds)),
    lostRequests: healthy.reduce((sum, { failedUsers }) => sum + failedUsers, 0),
    // Those of an idle cluster vary by more than an engine that asks seldom.
    apiRequestsPerSecond: notBelowZero(medianOf(healthy.map((each) => each.apiRequestsPerSecond))),
    apiRequestsPerSample: notBelowZero(medianOf(healthy.map((each) => each.apiRequestsPerSecond * arm.sampleSeconds))),
  }
}

function resultOf(results: readonly Results[], problems: string[]): object {
  return {
    requestsPerSecond: 50,
    failing: 0.2,
    firstStep: 10,
    rows: results.map(rowOf),
    problems,
    each: results.map(({ arm, failing, healthy }) => ({ arm: nameOf(arm), failing, healthy })),
  }
}
