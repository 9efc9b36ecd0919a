// Compares releases of this program, of Argo Rollouts and of Flagger on one mesh, each engine with its own analysis and with
// ours: 50 requests a second, a canary that fails 20%, first step 10%. Time runs from the canary's first response to a
// user to its last. Then healthy releases: how many are rolled back, how long they take, and what users lose.
// ENGINES_FAILING and ENGINES_HEALTHY set the number of runs, ENGINES_ARMS the arms (a part of their names; the documented
// settings, which take minutes, run only if named).
import { rmSync } from 'node:fs'
import { startEngines } from '../../test/e2e/engines.ts'
import { importAddons } from '../../test/mesh/index.ts'
import { runner } from '../../test/e2e/runner.ts'
import { applyObjects, embeddedMesh, sampleImage, sampleImages, type TestCluster } from '../../test/e2e/world.ts'
import { median, startUser, table, watch } from '../mesh/index.ts'
import { armsOf, type Arm } from './arms.ts'
import { namespace, prometheus } from './objects.ts'

const number = (name: string, byDefault: number) => Number(process.env[name] ?? byDefault)
const failingRuns = number('ENGINES_FAILING', 8)
/** Pairs of releases: to the next image, and back to the first. */
const healthyPairs = number('ENGINES_HEALTHY', 2)
const wanted = process.env['ENGINES_ARMS']

type Failing = { verdict: string; secondsToSafe: number; failedUsers: number; canaryRequests: number; reason: string }
type Healthy = { verdict: string; seconds: number; failedUsers: number; reason: string }
type Results = { arm: Arm; failing: Failing[]; healthy: Healthy[] }

export async function bench(): Promise<{ table: string; result: object }> {
  const testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const all = armsOf({ testCluster, machine })
  const arms = all.filter(({ name }) => (wanted === undefined ? !name.includes('documented') : name.includes(wanted)))
  const stopEngines = await setUp(testCluster, machine, arms)
  const results: Results[] = arms.map((arm) => ({ arm, failing: [], healthy: [] }))
  try {
    // Interleaved, so that a busy minute of the machine hits every arm.
    for (let run = 0; run < failingRuns; run++)
      for (const each of results) each.failing.push(await releaseFailing(testCluster, each.arm))
    for (let pair = 0; pair < healthyPairs; pair++)
      for (const each of results)
        for (const image of [sampleImages.next, sampleImage])
          each.healthy.push(await releaseHealthy(testCluster, each.arm, image))
  } finally {
    await stopEngines()
    rmSync(machine.home, { recursive: true, force: true })
  }
  return { table: tableOf(results), result: resultOf(results) }
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
  console.error(`${arm.name}: ${result.verdict}, ${secondsToSafe.toFixed(1)} s, ${failed} failed`)
  return { verdict: result.verdict, secondsToSafe, failedUsers: failed, canaryRequests: v2, reason: result.reason }
}

async function releaseHealthy(testCluster: TestCluster, arm: Arm, image: string): Promise<Healthy> {
  await startUser(testCluster, { rps: 50, keepAlive: true, host: arm.app })
  const { result, counts } = await watch(testCluster, () => arm.release(image))
  if (result.verdict === 'rolled-back') await arm.reset()
  console.error(`${arm.name}, healthy: ${result.verdict}, ${result.seconds.toFixed(1)} s, ${counts.failed} failed`)
  return { verdict: result.verdict, seconds: result.seconds, failedUsers: counts.failed, reason: result.reason }
}

const falseRollbacks = ({ healthy }: Results) => healthy.filter(({ verdict }) => verdict === 'rolled-back').length
const medianOf = (values: number[]) => (values.length === 0 ? Number.NaN : median(values))

function tableOf(results: readonly Results[]): string {
  const heads = [
    'arm',
    'runs',
    's to safe',
    'from',
    'to',
    'failed users',
    'healthy',
    'false rollbacks',
    's over its steps',
    'lost',
  ]
  return table(
    heads,
    results.map((each) => {
      const { arm, failing, healthy } = each
      const seconds = failing.map(({ secondsToSafe }) => secondsToSafe)
      const over = healthy.map((run) => run.seconds - arm.stepsSeconds)
      return [
        arm.name,
        `${failing.length}`,
        medianOf(seconds).toFixed(1),
        Math.min(...seconds).toFixed(1),
        Math.max(...seconds).toFixed(1),
        `${medianOf(failing.map(({ failedUsers }) => failedUsers))}`,
        `${healthy.length}`,
        `${falseRollbacks(each)}`,
        medianOf(over).toFixed(1),
        `${healthy.reduce((sum, { failedUsers }) => sum + failedUsers, 0)}`,
      ]
    }),
  )
}

function resultOf(results: readonly Results[]): object {
  return {
    requestsPerSecond: 50,
    failing: 0.2,
    firstStep: 10,
    arms: results.map((each) => ({
      name: each.arm.name,
      medianSecondsToSafe: medianOf(each.failing.map(({ secondsToSafe }) => secondsToSafe)),
      medianFailedUsers: medianOf(each.failing.map(({ failedUsers }) => failedUsers)),
      missed: each.failing.filter(({ verdict }) => verdict !== 'rolled-back').length,
      falseRollbacks: falseRollbacks(each),
      medianSecondsOverSteps: medianOf(each.healthy.map(({ seconds }) => seconds - each.arm.stepsSeconds)),
      failing: each.failing,
      healthy: each.healthy,
    })),
  }
}
