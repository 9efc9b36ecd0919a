// What users get decides, on the real mesh: three canaries at once, of which only the one that users cannot reach is
// rolled back.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Report } from '../../src/report/report.ts'
import { runner } from './runner.ts'
import { applyObjects, embeddedMesh, keepsConnections, sampleImage, type TestCluster } from './world.ts'

let testCluster: TestCluster
let machine: ReturnType<typeof runner>
let report: Report
let log: string

const namespace = 'users'
/** A version's program. In `behavior`, `request` is the number of a request, and `id` is the same for all tries of one call. */
const program = (behavior: string) => `
  let request = 0
  const answer = (response, status) => response.writeHead(status).end(JSON.stringify({ version: process.env.VERSION }))
  require('node:http').createServer(${keepsConnections}, ({ url, headers }, response) => {
    if (url === '/healthz') return answer(response, 200)
    request++
    const id = parseInt(String(headers['x-request-id']).slice(0, 8), 16)
    ${behavior}
    answer(response, 200)
  }).listen(8080)
  process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`

const services: Record<string, { v1: string; v2: string }> = {
  cold: { v1: '', v2: 'if (request <= 150) return setTimeout(() => answer(response, 200), 800)' },
  retried: {
    v1: 'if (id % 50 === 0) return answer(response, 503)',
    v2: 'if (id % 50 === 0) return answer(response, 503)',
  },
  ejected: { v1: '', v2: 'if (request === 40) return answer(response, 503)' },
}

const config = `
namespace: ${namespace}
istio: { version: 1.31.0, profile: demo }
workloads: all
services:
  cold: { port: 8080 }
  retried: { port: 8080, retries: { attempts: 3 } }
  ejected:
    port: 8080
    retries: { attempts: 0 }
    circuitBreaker: { consecutive5xxErrors: 1, interval: 1s, ejectFor: 2m, maxEjectionPercent: 100 }
canaries:
  - { service: cold, steps: [20, 50, 100], interval: 15s, checks: { p99: 500ms } }
  - { service: retried, steps: [20, 50, 100], interval: 15s, checks: { successRate: 95% } }
  - { service: ejected, steps: [20, 100], interval: 40s }
together: false
`

function workload(
  name: string,
  labels: Record<string, string>,
  command: string[],
  env: object[],
  port?: number,
): object {
  const probe = port === undefined ? {} : { readinessProbe: { httpGet: { path: '/healthz', port }, periodSeconds: 1 } }
  const image = { image: sampleImage, imagePullPolicy: 'IfNotPresent' }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'app', ...image, command, env, ...probe }] } },
    },
  }
}

function version(name: string, label: 'v1' | 'v2'): object {
  const env = [{ name: 'VERSION', value: label }]
  const command = ['node', '-e', program(services[name]![label])]
  return workload(`${name}-${label}`, { app: name, version: label }, command, env, 8080)
}

/** The service, its versions and its caller. */
function objectsOf(name: string): object[] {
  const calls = [
    { name: 'BACKEND_URL', value: `http://${name}:8080/` },
    { name: 'STEADY_RPS', value: '40' },
  ]
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { selector: { app: name }, ports: [{ name: 'http', port: 8080 }] },
    },
    version(name, 'v1'),
    version(name, 'v2'),
    workload(`${name}-caller`, { app: `${name}-caller` }, ['node', 'frontend.js'], calls),
  ]
}

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const { run } = testCluster
  await run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait'])
  const names = Object.keys(services)
  const own = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }
  await applyObjects(testCluster, [own, ...names.flatMap(objectsOf)])
  const file = join(machine.home, 'mesh.yaml')
  // The input `metrics` belongs to a single canary.
  const { metrics, ...inputs } = testCluster.inputs
  writeFileSync(file, config.replaceAll(/(- \{ service: \w+)/g, `$1, metrics: ${metrics}`))
  const installed = await machine.main({ ...inputs, config: file, stages: 'install, inject, policies' })
  expect(installed.code, installed.log).toBe(0)
  // Anew behind a weight of 0, so that the first requests of the canaries are those of the first step.
  const canaries = names.map((name) => `deploy/${name}-v2`)
  await run(['kubectl', '-n', namespace, 'rollout', 'restart', ...canaries])
  for (const name of canaries) await run(['kubectl', '-n', namespace, 'rollout', 'status', name, '--timeout=120s'])
  const result = await machine.run({ ...inputs, config: file, stages: 'promote' })
  log = result.log
  report = result.report!
})
afterAll(async () => {
  machine.remove()
  await testCluster.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait=false'])
})

const promotionOf = (service: string) => report.promotions.find((each) => each.service === service)!

test('a canary that is slow at first is promoted', () => {
  expect(promotionOf('cold'), log).toMatchObject({ verdict: 'promoted' })
})

test('a canary whose users fail as often as those of stable is promoted, and each user counts once', () => {
  const { verdict, steps, userRequests } = promotionOf('retried')
  expect(verdict, log).toBe('promoted')
  const failures = steps.reduce((sum, { canary, stable }) => sum + canary.failures + stable.failures, 0)
  expect(userRequests.failed).toBeGreaterThan(10)
  // Whole tries would be four times as many, parts of users a quarter or half. The counters are not of one moment.
  expect(failures).toBeLessThan(1.2 * userRequests.failed + 2)
  expect(failures).toBeGreaterThan(0.7 * userRequests.failed - 2)
})

test('a canary whose only pod is ejected is rolled back, because its callers get no answer', () => {
  const { verdict, reason } = promotionOf('ejected')
  expect(verdict, log).toBe('rolled-back')
  expect(reason).toMatch(/^the canary serves less than its weight, and \d+ of \d+ requests of users failed before/)
})
