// Verification on the real mesh: every cause that can be had is provoked once, the mode is asked for on the wire, the proxies
// are asked for their state, and the traffic for the policies. Not to be had here, and in unit tests only: too many open files,
// the race with the CNI plugin, a sandbox without network.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../src/report/report.ts'
import { istioOverlay } from '../mesh/index.ts'
import { runner } from './runner.ts'
import { embedded, type World } from './world.ts'

const namespace = 'verify-test'
const image = 'docker.io/library/node:24-alpine'
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-verify-'))
let world: World
let machine: ReturnType<typeof runner>

const kubectl = (...args: string[]) => world.run(['kubectl', '-n', namespace, ...args])
async function apply(...items: object[]): Promise<void> {
  const file = join(folder, 'objects.json')
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items }))
  await kubectl('apply', '-f', file)
}

/** Runs the stage verify with this mesh.yaml. */
async function verify(yaml = ''): Promise<{ code: number; report: Report; log: string }> {
  const config = join(folder, 'mesh.yaml')
  writeFileSync(config, `namespace: ${namespace}\nstages: [verify]\n${yaml}`)
  const { code, report, log } = await machine.main({ config })
  if (!report) throw new Error(log)
  return { code, report, log }
}

/** Looks every half second until the text shows what it should; the last text when it does not in time. */
async function until(seconds: number, look: () => Promise<string>, pattern: RegExp): Promise<void> {
  for (const end = Date.now() + seconds * 1_000; ; await sleep(500)) {
    const text = await look()
    if (pattern.test(text)) return
    if (Date.now() > end) throw new Error(`did not come to ${pattern}: ${text}`)
  }
}

type Parts = { container?: object; spec?: object; annotations?: Record<string, string>; labels?: Record<string, string> }
const httpServer = ['node', '-e', "require('http').createServer((q, r) => { r.statusCode = q.url === '/flaky' && Math.random() < 0.5 ? 503 : 200; r.end('hello') }).listen(8080)"]
const template = (name: string, { container = {}, spec = {}, annotations = {}, labels = {} }: Parts = {}) => ({
  metadata: { labels: { app: name, ...labels }, annotations },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'app', image, imagePullPolicy: 'IfNotPresent', command: httpServer, ...container }], ...spec },
})
function pod(name: string, parts: Parts = {}): object {
  const { metadata, spec } = template(name, parts)
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, ...metadata }, spec }
}
function deployment(name: string, app: string, parts: Parts = {}): object {
  const of = template(app, parts)
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace }, spec: { selector: { matchLabels: of.metadata.labels }, template: of } }
}
const service = (name: string, port: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { selector: { app: name }, ports: [port] } })
const mtls = (mode: string) => ({ apiVersion: 'security.istio.io/v1', kind: 'PeerAuthentication', metadata: { name: 'default', namespace }, spec: { mtls: { mode } } })
/** A cluster that has no hosts of its own but is told to take them from itself: Envoy refuses it, istiod does not see it. */
const badFilter = (app: string) => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name: 'bad', namespace },
  spec: {
    workloadSelector: { labels: { app } },
    configPatches: [{ applyTo: 'CLUSTER', match: { context: 'SIDECAR_OUTBOUND', cluster: { service: `web.${namespace}.svc.cluster.local` } }, patch: { operation: 'MERGE', value: { lb_policy: 'CLUSTER_PROVIDED' } } }],
  },
})
const scaleIstiod = async (replicas: number) => {
  await world.run(['kubectl', '-n', 'istio-system', 'scale', 'deploy/istiod', `--replicas=${replicas}`])
  if (replicas === 0) await world.run(['kubectl', '-n', 'istio-system', 'wait', '--for=delete', 'pod', '--selector=app=istiod', '--timeout=60s'])
  else await world.run(['kubectl', '-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=60s'])
}
const label = (pair: string) => world.run(['kubectl', 'label', 'namespace', namespace, '--overwrite', pair])

const host = `web.${namespace}.svc.cluster.local`
const httpPort = { container: { ports: [{ name: 'http', containerPort: 8080 }] } }
const app = [
  service('web', { name: 'http', port: 80, targetPort: 8080 }),
  service('greeter', { name: 'tcp-greeter', port: 9000 }),
  deployment('web-v1', 'web', { ...httpPort, labels: { version: 'v1' } }),
  deployment('web-v2', 'web', { ...httpPort, labels: { version: 'v2' } }),
  deployment('greeter', 'greeter', { container: { command: ['node', '-e', "require('net').createServer((s) => { s.on('error', () => {}); s.end('welcome') }).listen(9000)"], ports: [{ name: 'tcp-greeter', containerPort: 9000 }] } }),
  deployment('user', 'user', {
    annotations: { 'sidecar.istio.io/statsInclusionPrefixes': 'cluster.outbound' },
    container: { command: ['node', '-e', "const get = (path) => fetch('http://web' + path).then((r) => r.text()).catch(() => {}); setInterval(get, 50, '/'); setInterval(get, 200, '/flaky'); setInterval(() => require('net').connect(9000, 'greeter').on('error', () => {}).resume(), 500)"] },
  }),
  { apiVersion: 'networking.istio.io/v1', kind: 'DestinationRule', metadata: { name: 'web', namespace }, spec: { host, trafficPolicy: { outlierDetection: { consecutive5xxErrors: 50 } }, subsets: ['v1', 'v2'].map((name) => ({ name, labels: { version: name } })) } },
  {
    apiVersion: 'networking.istio.io/v1', kind: 'VirtualService', metadata: { name: 'web', namespace },
    spec: { hosts: [host], http: [{ name: 'mesh-canary', timeout: '2s', retries: { attempts: 2, retryOn: '5xx' }, route: [80, 20].map((weight, i) => ({ destination: { host, subset: `v${i + 1}` }, weight })) }] },
  },
]

const gate = { schedulingGates: [{ name: 'test/hold' }] }
const ungate = (name: string) => kubectl('patch', 'pod', name, '--type=json', '-p', '[{"op":"remove","path":"/spec/schedulingGates"}]')
const nowhere = '127.0.0.1:1/nosuch:1'
const broken = [
  badFilter('rejected'),
  pod('rejected'),
  pod('image', { container: { image: nowhere } }),
  pod('proxy-image', { annotations: { 'sidecar.istio.io/proxyImage': nowhere } }),
  pod('init-crash', { spec: { initContainers: [{ name: 'istio-init', image: 'auto', imagePullPolicy: 'IfNotPresent', securityContext: { runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true } }] } }),
  pod('probe', { container: { readinessProbe: { httpGet: { path: '/', port: 9999 }, periodSeconds: 1 } } }),
  pod('never', { container: { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } } }),
  pod('cpu', { container: { resources: { requests: { cpu: '1000' } } } }),
  pod('memory', { container: { resources: { requests: { memory: '1000Ti' } } } }),
  pod('crash', { container: { command: ['node', '-e', "console.error('no DB_HOST'); process.exit(3)"] } }),
  pod('oom', { container: { command: ['node', '-e', 'const all = []; for (;;) all.push(Buffer.alloc(10e6, 1))'], resources: { limits: { memory: '64Mi' } } } }),
  pod('secret', { container: { env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'nosuch', key: 'x' } } }] } }),
  pod('waits', { spec: { initContainers: [{ name: 'wait-for-db', image, imagePullPolicy: 'IfNotPresent', command: ['node', '-e', "console.log('waiting for the database'); setInterval(() => {}, 1e6)"] }] } }),
  pod('held', { spec: gate }),
]

beforeAll(async () => {
  world = await embedded()
  machine = runner(world.runner)
  await world.run(['istioctl', 'install', '-y', '-f', istioOverlay, '--set', 'profile=demo'])
  await world.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait'])
  await world.run(['kubectl', 'create', 'namespace', namespace])
})
afterAll(async () => {
  await scaleIstiod(1)
  await world.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait=false'])
  machine.remove()
  rmSync(folder, { recursive: true })
})

const causes = ({ pods }: Report) => Object.fromEntries(pods.map(({ name, cause }) => [name, cause ?? '']))

test('a pod that was there before its namespace asked for sidecars is named at once', async () => {
  await apply(pod('bare'))
  await label('istio-injection=enabled')
  const { code, report } = await verify()
  expect(code).toBe(1)
  expect(causes(report)).toEqual({ bare: expect.stringContaining('the pod has no sidecar: it was created while the namespace did not ask for one') as string })
  await kubectl('delete', 'pod', 'bare')
})

describe('an application that is well', () => {
  beforeAll(async () => {
    await apply(...app, mtls('STRICT'))
    for (const name of ['web-v1', 'web-v2', 'greeter', 'user']) await kubectl('rollout', 'status', `deploy/${name}`, '--timeout=90s')
  })

  const policies = `
mtls: strict
services: { web: { subsets: { v1: { version: v1 }, v2: { version: v2 } }, timeout: 2s, retries: { attempts: 2 }, circuitBreaker: { consecutive5xxErrors: 50 } } }
verify: { deep: true, timeout: 30s }
`
  test('is N/N, its proxies are in sync, plaintext is refused, and its traffic shows the policies', async () => {
    const { code, report } = await verify(policies)
    expect(report.error).toBeUndefined()
    expect(code).toBe(0)
    expect(report.pods.map(({ ready, ok }) => [ready, ok])).toEqual(Array(4).fill(['2/2', true]))
    expect(report.proxies?.map(({ ok }) => ok)).toEqual(Array(4).fill(true))
    expect(report.wire?.map(({ port, expected, seen }) => [port, expected, seen]).sort()).toEqual([[8080, 'STRICT', 'refused'], [8080, 'STRICT', 'refused'], [9000, 'STRICT', 'skipped']])
    expect(report.wire?.find(({ port }) => port === 9000)?.note).toContain('tcp-greeter')
    const deep = Object.fromEntries(report.deep?.map(({ service, what, ok, text }) => [`${service} ${what}`, { ok, text }]) ?? [])
    expect(deep['web split']).toEqual({ ok: true, text: expect.stringMatching(/^v1 \d+ of \d+ .*weight 80 %\), v2 \d+ of \d+ .*weight 20 %\)$/) as string })
    expect(deep['web retries']).toEqual({ ok: true, text: expect.stringMatching(/^[1-9]\d* retries, [1-9]\d* of them successful/) as string })
    expect(deep['web ejections']?.text).toMatch(/^0 ejections/)
    // A server that speaks first, under STRICT.
    expect(deep['greeter reachable']).toEqual({ ok: true, text: expect.stringMatching(/[1-9]\d* connections were made, 0 failed/) as string })
  })

  test('answers plaintext under PERMISSIVE', async () => {
    await apply(mtls('PERMISSIVE'))
    const { code, report } = await verify('mtls: permissive')
    expect(code).toBe(0)
    expect(report.wire?.filter(({ port }) => port === 8080).map(({ expected, seen, ok }) => [expected, seen, ok])).toEqual(Array(2).fill(['PERMISSIVE', 'answered', true]))
  })

  test('is not in sync when Envoy rejects what it is sent, and the reason is told', async () => {
    await apply(badFilter('user'))
    await until(20, () => kubectl('logs', 'deploy/user', '-c', 'istio-proxy', '--tail=50'), /v3.Cluster rejected/)
    const { code, report } = await verify()
    await kubectl('delete', 'envoyfilter', 'bad')
    expect(code).toBe(1)
    expect(report.error).toMatch(/the proxy of verify-test\/user-\S+ is not in sync: Envoy rejected its clusters .*cluster provided LB specified/)
    expect(report.proxies?.filter(({ ok }) => !ok)).toHaveLength(1)
  })

  test('is in sync again when the object is gone', async () => {
    const { code } = await verify()
    expect(code).toBe(0)
  })
})

describe('the cause is told of a pod', () => {
  let told: Record<string, string>
  beforeAll(async () => {
    await kubectl('delete', 'deploy,pods', '--all', '--wait=false')
    await apply(...broken)
    // From here on pods with what istio-init needs are forbidden; those above are there already.
    await label('pod-security.kubernetes.io/enforce=restricted')
    await apply(deployment('insecure', 'insecure'))
    await until(60, () => kubectl('get', 'pods'), /probe +1\/2 +Running/)
    const { code, report } = await verify('verify: { timeout: 25s }')
    await world.run(['kubectl', 'label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce-'])
    await kubectl('delete', 'deploy', 'insecure')
    expect(code).toBe(1)
    told = causes(report)
  })

  test.each<[string, string, RegExp]>([
    ['whose image cannot be pulled', 'image', /^container app: the image 127\.0\.0\.1:1\/nosuch:1 cannot be pulled \((ErrImagePull|ImagePullBackOff)/],
    ["whose sidecar's image cannot be pulled", 'proxy-image', /^container istio-init: the image 127\.0\.0\.1:1\/nosuch:1 cannot be pulled/],
    ['whose traffic rules cannot be set up', 'init-crash', /^istio-init could not set up the pod's traffic rules \(exit code \d+\): .*Permission denied.*NET_ADMIN/s],
    ['whose sidecar rejects its configuration', 'rejected', /^the sidecar is not ready: Envoy rejected its configuration: .*cluster provided LB specified.*EnvoyFilter/s],
    ['whose probe fails while its sidecar is ready', 'probe', /^container app is not ready: Readiness probe failed: .*:9999.*connection refused/s],
    ['that never becomes ready', 'never', /^container app is not ready: Readiness probe failed/],
    ['that asks for too much CPU', 'cpu', /^no node takes the pod: .*Insufficient cpu/],
    ['that asks for too much memory', 'memory', /^no node takes the pod: .*Insufficient memory/],
    ['that crashes, with its last words', 'crash', /^container app ended with exit code 3 \(Error\), \d+ restarts: no DB_HOST/],
    ['that ran out of memory', 'oom', /^container app ended with exit code 137 \(OOMKilled\).*limit of 64Mi/],
    ['whose secret is missing', 'secret', /^container app cannot be created: secret "nosuch" not found/],
    ['whose init container does not end', 'waits', /^init container wait-for-db has not ended.*waiting for the database/],
    ['that somebody holds back', 'held', /scheduling gates/],
    ['that pod security forbids', 'Deployment/insecure', /^no pod can be created: .*violates PodSecurity "restricted.*istio-init needs.*pod-security\.kubernetes\.io\/enforce/s],
  ])('%s', (_, name, cause) => {
    expect(told[name]).toMatch(cause)
  })
})

describe('without istiod, the cause is told of a pod', () => {
  let told: Record<string, string>
  beforeAll(async () => {
    await kubectl('delete', 'pods', '--all', '--wait=false')
    await kubectl('delete', 'envoyfilter', '--all')
    // Pods are made while the injector answers, and started when it is gone.
    await apply(pod('no-config', { spec: gate }), pod('no-root-cert', { spec: gate }))
    await scaleIstiod(0)
    await ungate('no-config')
    await until(20, () => kubectl('get', 'pod', 'no-config'), /Init:1\/2/)
    await kubectl('delete', 'configmap', 'istio-ca-root-cert')
    await ungate('no-root-cert')
    await apply(deployment('no-webhook', 'no-webhook'))
    const { code, report } = await verify('verify: { timeout: 12s }')
    expect(code).toBe(1)
    told = causes(report)
  })

  test.each<[string, string, RegExp]>([
    ['whose sidecar gets neither certificate nor configuration', 'no-config', /^the sidecar is not ready: it got no (certificate|configuration) from istiod; check that istiod runs/],
    ['that cannot mount the root certificate', 'no-root-cert', /^a volume cannot be mounted: .*istio-ca-root-cert.*check that istiod runs/],
    ['that cannot be made, for the injector does not answer', 'Deployment/no-webhook', /^no pod can be created: .*failed calling webhook.*check that istiod runs/s],
  ])('%s', (_, name, cause) => {
    expect(told[name]).toMatch(cause)
  })
})
