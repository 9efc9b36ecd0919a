// A release beside an autoscaler that scales by the CPU time which a real metrics-server reports, while users call all the time.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { goTool } from '../mesh/index.ts'
import { caller, openArcade, service, shop, type Arcade } from './arcade.ts'
import { eventually } from './echo.ts'
import { sampleImages } from './world.ts'

let arcade: Arcade

/** Twenty requests a second take 200m, which one pod may not take for long. Without requests a pod takes far less than 50m. */
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
  await arcade.testCluster.run([
    'kubectl',
    '-n',
    'kube-system',
    'rollout',
    'status',
    'deploy/metrics-server',
    '--timeout=120s',
  ])
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

test('an autoscaler that sees stable idle takes none of its pods before the traffic is back, and gets its minimum back', async () => {
  await arcade.apply(autoscaler)
  await until('deploy/mill', '.status.availableReplicas', 2)
  const before = await arcade.calls('mill')
  const seen: Promise<string>[] = []
  const look = (path: string) => void seen.push(read('deploy/mill', path))
  const { code, log, outputs } = await arcade.release('mill', `image: "${sampleImages.next}"`, {
    onLine: (line) => {
      if (line.includes('weight: mill 0, mill-canary 100')) look('.spec.replicas')
      if (line.includes('all traffic is at Deployment/mill')) look('.status.availableReplicas')
    },
  })
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ verdict: 'promoted', weight: '0' })
  expect(log).toContain('Deployment/mill-canary: created with 2 replicas')
  expect(log).toContain('HorizontalPodAutoscaler/mill: minReplicas 1 → 2')
  expect(await Promise.all(seen)).toEqual(['2', '2'])
  expect(await arcade.images('mill')).toEqual({ mill: sampleImages.next })
  await eventually(async () =>
    expect(await arcade.kubectl('get', 'hpa', '-o', 'jsonpath={.items[*].metadata.name}')).toBe('mill'),
  )
  expect(await read('hpa/mill', '.spec.minReplicas')).toBe('1')
  expect((await arcade.calls('mill')).failed).toBe(before.failed)
}, 600_000)
