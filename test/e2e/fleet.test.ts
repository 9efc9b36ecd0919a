// One release in two clusters, each with its own control plane, in two waves. All runs have the rights of
// deploy/rbac/deliver.yaml.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { caller, openArcade, service, shop, type Arcade } from './arcade.ts'
import { runner, type ActionRun, type RunnerOptions } from './runner.ts'
import { startSecondMesh, type SecondMesh } from './second-mesh.ts'
import { delivererKubeconfig, metricNames, sampleImage, sampleImages } from './world.ts'

const namespace = 'arcade'
let second: SecondMesh | undefined
let eu: Arcade
let us: Arcade
let machine: ReturnType<typeof runner>
let clusters: object

beforeAll(async () => {
  const objects = [service('toys'), shop('toys', { app: 'toys' }), caller('toys')]
  eu = await openArcade(...objects)
  second = await startSecondMesh()
  us = await second.openArcade(...objects)
  machine = runner(eu.testCluster.runner)
  const ofUs = await delivererKubeconfig(us.testCluster, us.home, namespace)
  clusters = {
    eu: { kubeconfig: await delivererKubeconfig(eu.testCluster, eu.home, namespace) },
    us: { kubeconfig: second.reachable(ofUs), wave: 2 },
  }
  await Promise.all([eu.answered('toys'), us.answered('toys')])
})
afterAll(async () => {
  await eu.close()
  await second?.close()
  machine.remove()
})

function release(options: RunnerOptions = {}, stages = 'policies, promote'): Promise<ActionRun> {
  const canary = {
    service: 'toys',
    image: sampleImages.next,
    steps: [50, 100],
    interval: '3s',
    warmup: 0,
    guard: '5s',
    progressDeadline: '60s',
    checks: { tolerance: 10 },
    metrics: metricNames,
  }
  const config = machine.file('fleet.json', JSON.stringify({ name: 'fleet', namespace, clusters, canary }))
  return machine.main({ config, stages }, options)
}

test('all clusters are planned and verified', async () => {
  const { code, log, outputs, summary, report } = await release({}, 'plan, verify')
  expect(code, log).toBe(0)
  const seen = report!.clusters!.map(({ name, report: { plan = [], pods } }) => [
    name,
    plan.length > 0,
    pods.length > 0,
  ])
  expect(seen).toEqual([
    ['eu', true, true],
    ['us', true, true],
  ])
  expect(Number(outputs['changed'])).toBe(0)
  expect(summary).toContain('<summary>us</summary>')
})

test('a bad canary in the second wave rolls both clusters back', async () => {
  // Pods that start from now on fail half of the requests, which are those of the canary.
  const data = { FAIL_RATE: '0.5' }
  await us.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'toys', namespace }, data })
  const { code, log, outputs, report } = await release()
  await us.kubectl('delete', 'configmap', 'toys')
  expect(code).toBe(1)
  expect(outputs['verdict'], log).toBe('rolled-back')
  expect(report!.promotions.map(({ cluster, verdict }) => [cluster, verdict])).toEqual([
    ['eu', 'rolled-back'],
    ['us', 'rolled-back'],
  ])
  expect(report!.promotions[0]!.reason).toContain('in the cluster us')
  for (const cluster of [eu, us]) expect((await cluster.images('toys'))['toys']).toBe(sampleImage)
  await Promise.all([eu.answered('toys'), us.answered('toys')])
})

test('after a runner is killed between two waves, the next run promotes both', async () => {
  let kill: (signal: NodeJS.Signals) => void = () => undefined
  const killed = await release({
    onStart: (_, how) => (kill = how),
    onLine: (line) => line.startsWith('us: ▸ policies') && kill('SIGKILL'),
  })
  expect(killed.log).toContain('eu: decision: promoted')
  const { code, log, outputs } = await release()
  expect(outputs['verdict'], log).toBe('promoted')
  expect(code).toBe(0)
  for (const cluster of [eu, us]) expect((await cluster.images('toys'))['toys']).toBe(sampleImages.next)
})
