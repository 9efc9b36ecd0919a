// A release beside an autoscaler that scales by the CPU time that a real metrics-server reports, while callers send requests.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { goTool } from '../mesh/index.ts'
import { caller, openArcade, service, shop, type Arcade } from './arcade.ts'
import { eventually } from './echo.ts'
import { sampleImages } from './world.ts'

let arcade: Arcade

/** Twenty requests a second take 200m, so there have to be two pods; without requests, a pod takes far less than 50m. */
const autoscaler = {
  apiVersion: 'autoscaling/v2',
  kind: 'HorizontalPodAutoscaler',
  metadata: { name: 'mill', namespace: 'arcade' },
  spec: {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mill' },
    minReplicas: 1,
    maxReplicas: 2,
    metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'AverageValue', averageValue: '50m' } } }],
    behavior: { scaleDown: { stabilizationWindowSeconds: 0 } },
  },
}
const load = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'mill', namespace: 'arcade' },
  data: { CPU_MS: '10' },
}

beforeAll(async () => {
  arcade = await openArcade(load, service('mill'), shop('mill', { version: 'v1' }), caller('mill'))
  await metricsServer('apply')
  const wait = ['kubectl', '-n', 'kube-system', 'rollout', 'status', 'deploy/metrics-server', '--timeout=120s']
  await arcade.testCluster.run(wait)
})
afterAll(async () => {
  await metricsServer('delete')
  await arcade.close()
})

async function metricsServer(verb: 'apply' | 'delete'): Promise<void> {
  const file = join(arcade.home, 'metrics-server.yaml')
  const text = readFileSync(resolve(import.meta.dirname, 'metrics-server.yaml'), 'utf8')
  writeFileSync(file, text.replace('{ path: PROGRAM }', `{ path: ${dirname(await goTool('metrics-server'))} }`))
  await arcade.testCluster.run(['kubectl', verb, '-f', file])
}

/** Waits until an object of the shop has a value. */
const until = (object: string, path: string, value: string | number) =>
  arcade.kubectl('wait', object, `--for=jsonpath={${path}}=${value}`, '--timeout=240s')
const read = (object: string, path: string) => arcade.kubectl('get', object, '-o', `jsonpath={${path}}`)

test('a release with proportional replicas keeps the pods of an idle stable until the traffic is back', async () => {
  await arcade.apply(autoscaler)
  await until('deploy/mill', '.status.availableReplicas', 2)
  const plan = `image: "${sampleImages.next}", replicas: proportional`

  const grown = onceLogged('weight: mill 1, mill-canary 99', 'deploy/mill-canary', '.status.availableReplicas')
  const held = await arcade.release('mill', `${plan}, until: 99`, { steps: '50, 99, 100', onLine: grown.onLine })
  expect(held.outputs, held.log).toMatchObject({ verdict: 'held', weight: '99' })
  expect(held.log).toContain('Deployment/mill-canary: created with 1 replica\n')
  expect(await grown.value()).toBe('2')
  await until('hpa/mill', '.status.conditions[?(@.type=="ScalingLimited")].reason', 'TooFewReplicas')
  expect(await read('deploy/mill', '.spec.replicas')).toBe('2')
  // The canary has an autoscaler like it, which sees the load.
  await arcade.kubectl('wait', 'hpa/mill-canary', '--for=condition=ScalingActive', '--timeout=240s')
  expect(await read('hpa/mill-canary', '.spec.minReplicas')).toBe('2')

  const returned = onceLogged('all traffic is at Deployment/mill', 'deploy/mill', '.status.availableReplicas')
  const { code, log, outputs } = await arcade.release('mill', plan, { steps: '50, 99, 100', onLine: returned.onLine })
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0' })
  expect(await returned.value()).toBe('2')
  expect(await arcade.images('mill')).toEqual({ mill: sampleImages.next })
  await eventually(async () =>
    expect(await arcade.kubectl('get', 'hpa', '-o', 'jsonpath={.items[*].metadata.name}')).toBe('mill'),
  )
  expect(await read('hpa/mill', '.spec.minReplicas')).toBe('1')
}, 600_000)

/** Reads a value of an object when the log of a run has this text for the first time. */
function onceLogged(text: string, object: string, path: string) {
  let value: Promise<string> | undefined
  const onLine = (line: string) => {
    if (line.includes(text)) value ??= read(object, path)
  }
  return { onLine, value: () => value }
}
