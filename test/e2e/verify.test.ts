// Verification on the real mesh. The tests provoke every cause once, with both forms of the sidecar where it matters,
// and check the mTLS mode by connecting, the state of the proxies, and the policies by their traffic.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Report } from '../../src/report/report.ts'
import { ISTIO_VERSION } from '../mesh/index.ts'
import { nodeDir, nodeName } from '../mesh/settings.ts'
import { runner } from './runner.ts'
import { applyObjects, delivererKubeconfig, embeddedMesh, type TestCluster } from './world.ts'

const namespace = 'verify-test'
const image = 'docker.io/library/node:24-alpine'
const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-verify-'))
let testCluster: TestCluster
let machine: ReturnType<typeof runner>
/** The stage verify runs with only the rights of deploy/rbac/deliver.yaml. */
let kubeconfig: string

const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', namespace, ...args])
const apply = (...items: object[]) => applyObjects(testCluster, items, namespace)

/** Runs the stage verify with these additions to mesh.yaml. */
async function verify(yaml = ''): Promise<{ code: number; report: Report; log: string }> {
  const config = join(folder, 'mesh.yaml')
  writeFileSync(config, `namespace: ${namespace}\nstages: [verify]\n${yaml}`)
  const { code, report, log } = await machine.main({ config, kubeconfig })
  if (!report) throw new Error(log)
  return { code, report, log }
}

/** Reads the text every half second until it matches. Throws an error with the last text when the time is over. */
async function until(seconds: number, read: () => Promise<string>, pattern: RegExp): Promise<void> {
  for (const end = Date.now() + seconds * 1_000; ; await sleep(500)) {
    const text = await read()
    if (pattern.test(text)) return
    if (Date.now() > end) throw new Error(`did not come to ${pattern}: ${text}`)
  }
}

/** What the kubelet says of an init container's state, as JSON. */
const stateOfInit = (pod: string, container: string) =>
  kubectl('get', 'pod', pod, `-o=jsonpath={.status.initContainerStatuses[?(@.name=="${container}")].state}`)

type SidecarForm = 'native' | 'classic'
/** `proxy` overrides fields of the container that the injector adds. */
type PodParts = {
  form?: SidecarForm
  container?: object
  proxy?: object
  spec?: object
  annotations?: Record<string, string>
  labels?: Record<string, string>
}
const formAnnotations = (form: SidecarForm) => (form === 'classic' ? { 'sidecar.istio.io/nativeSidecar': 'false' } : {})
const httpServer = [
  'node',
  '-e',
  "require('http').createServer((q, r) => { r.statusCode = q.url === '/flaky' && Math.random() < 0.5 ? 503 : 200; r.end('hello') }).listen(8080)",
]
function template(
  name: string,
  { form = 'native', container = {}, proxy, spec = {}, annotations = {}, labels = {} }: PodParts = {},
) {
  const local = { imagePullPolicy: 'IfNotPresent' }
  const own = { name: 'app', image, ...local, command: httpServer, ...container }
  const sidecar = proxy ? [{ name: 'istio-proxy', image: 'auto', ...local, ...proxy }] : []
  const containers =
    form === 'native'
      ? { containers: [own], initContainers: sidecar.map((each) => ({ ...each, restartPolicy: 'Always' })) }
      : { containers: [own, ...sidecar] }
  return {
    metadata: { labels: { app: name, ...labels }, annotations: { ...formAnnotations(form), ...annotations } },
    spec: { terminationGracePeriodSeconds: 1, ...containers, ...spec },
  }
}
function pod(name: string, podParts: PodParts = {}): object {
  const { metadata, spec } = template(name, podParts)
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, ...metadata }, spec }
}
function deployment(name: string, app: string, podParts: PodParts = {}): object {
  const of = template(app, podParts)
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: { selector: { matchLabels: of.metadata.labels }, template: of },
  }
}
const service = (name: string, port: object) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { selector: { app: name }, ports: [port] },
})
const mtls = (mode: string) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'default', namespace },
  spec: { mtls: { mode } },
})
/** A cluster without hosts whose load balancer needs them. Envoy rejects it, and istiod does not notice the mistake. */
const badFilter = (app: string) => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name: 'bad', namespace },
  spec: {
    workloadSelector: { labels: { app } },
    configPatches: [
      {
        applyTo: 'CLUSTER',
        match: { context: 'SIDECAR_OUTBOUND', cluster: { service: `web.${namespace}.svc.cluster.local` } },
        patch: { operation: 'MERGE', value: { lb_policy: 'CLUSTER_PROVIDED' } },
      },
    ],
  },
})
const scaleIstiod = async (replicas: number) => {
  await testCluster.run(['kubectl', '-n', 'istio-system', 'scale', 'deploy/istiod', `--replicas=${replicas}`])
  if (replicas === 0)
    await testCluster.run([
      'kubectl',
      '-n',
      'istio-system',
      'wait',
      '--for=delete',
      'pod',
      '--selector=app=istiod',
      '--timeout=60s',
    ])
  else await testCluster.run(['kubectl', '-n', 'istio-system', 'rollout', 'status', 'deploy/istiod', '--timeout=60s'])
}
const label = (pair: string) => testCluster.run(['kubectl', 'label', 'namespace', namespace, '--overwrite', pair])

/** Deletes what earlier tests left, and enables injection in the namespace. */
const resetNamespace = async () => {
  await kubectl('delete', 'deploy,pods', '--all', '--wait')
  await label('istio-injection=enabled')
}

const web = service('web', { name: 'http', port: 80, targetPort: 8080 })
const host = `web.${namespace}.svc.cluster.local`
const httpPort = { container: { ports: [{ name: 'http', containerPort: 8080 }] } }
const app = [
  web,
  service('greeter', { name: 'tcp-greeter', port: 9000 }),
  deployment('web-v1', 'web', { ...httpPort, labels: { version: 'v1' } }),
  deployment('web-v2', 'web', { ...httpPort, labels: { version: 'v2' } }),
  deployment('greeter', 'greeter', {
    container: {
      command: [
        'node',
        '-e',
        "require('net').createServer((s) => { s.on('error', () => {}); s.end('welcome') }).listen(9000)",
      ],
      ports: [{ name: 'tcp-greeter', containerPort: 9000 }],
    },
  }),
  deployment('user', 'user', {
    annotations: { 'sidecar.istio.io/statsInclusionPrefixes': 'cluster.outbound' },
    container: {
      command: [
        'node',
        '-e',
        "const get = (path) => fetch('http://web' + path).then((r) => r.text()).catch(() => {}); setInterval(get, 50, '/'); setInterval(get, 200, '/flaky'); setInterval(() => require('net').connect(9000, 'greeter').on('error', () => {}).resume(), 500)",
      ],
    },
  }),
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name: 'web', namespace },
    spec: {
      host,
      trafficPolicy: { outlierDetection: { consecutive5xxErrors: 50 } },
      subsets: ['v1', 'v2'].map((name) => ({ name, labels: { version: name } })),
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'web', namespace },
    spec: {
      hosts: [host],
      http: [
        {
          name: 'mesh-canary',
          timeout: '2s',
          retries: { attempts: 2, retryOn: '5xx' },
          route: [80, 20].map((weight, i) => ({ destination: { host, subset: `v${i + 1}` }, weight })),
        },
      ],
    },
  },
]

const gated = { schedulingGates: [{ name: 'test/hold' }] }
const ungate = (name: string) =>
  kubectl('patch', 'pod', name, '--type=json', '-p', '[{"op":"remove","path":"/spec/schedulingGates"}]')
const missingImage = '127.0.0.1:1/nosuch:1'
/** A command with a limit for open files. */
const fewFiles = (limit: number, ...command: string[]) => ['sh', '-c', `ulimit -n ${limit}; exec "$0" "$@"`, ...command]
const openAll = "try { for (;;) require('fs').openSync('/etc/hosts') } catch (e) { console.error(e.message) }"
/**
 * Takes all inotify instances of its user before it starts the sidecar. Nobody else on the machine has that user. The
 * sidecar's group keeps its traffic out of the redirection rules.
 */
const noInotify = {
  securityContext: { runAsUser: 41337, runAsGroup: 1337 },
  command: [
    'sh',
    '-c',
    `perl -e 'for (1..8) { fork or do { 1 while syscall(294, 0) >= 0; sleep 1e6 } }'; sleep 2; exec pilot-agent "$0" "$@"`,
  ],
}

const brokenPods = (form: SidecarForm) => {
  const of = (name: string, podParts: PodParts) => pod(name, { form, ...podParts })
  return [
    web,
    badFilter('rejected'),
    of('rejected', {}),
    of('image', { container: { image: missingImage } }),
    of('proxy-image', { annotations: { 'sidecar.istio.io/proxyImage': missingImage } }),
    of('init-crash', {
      spec: {
        initContainers: [
          {
            name: 'istio-init',
            image: 'auto',
            imagePullPolicy: 'IfNotPresent',
            securityContext: { runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true },
          },
        ],
      },
    }),
    of('probe', {
      // The time of a busy machine is enough for the sidecar to say why.
      container: { readinessProbe: { httpGet: { path: '/', port: 9999 }, periodSeconds: 1, timeoutSeconds: 10 } },
    }),
    of('never', { container: { readinessProbe: { exec: { command: ['false'] }, periodSeconds: 1 } } }),
    of('cpu', { container: { resources: { requests: { cpu: '1000' } } } }),
    of('memory', { container: { resources: { requests: { memory: '1000Ti' } } } }),
    of('no-node', { spec: { nodeSelector: { no: 'such' } } }),
    of('no-claim', { spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'nosuch' } }] } }),
    of('crash', { container: { command: ['node', '-e', "console.error('no DB_HOST'); process.exit(3)"] } }),
    of('throws', { container: { command: ['node', '-e', "throw new Error('no DB_HOST')"] } }),
    of('oom', {
      container: {
        command: ['node', '-e', 'const all = []; for (;;) all.push(Buffer.alloc(10e6, 1))'],
        resources: { limits: { memory: '64Mi' } },
      },
    }),
    of('proxy-oom', {
      annotations: { 'sidecar.istio.io/proxyMemory': '8Mi', 'sidecar.istio.io/proxyMemoryLimit': '16Mi' },
    }),
    of('files', { container: { command: fewFiles(40, 'node', '-e', `${openAll}; process.exit(1)`) } }),
    of('files-unready', {
      container: {
        command: fewFiles(40, 'node', '-e', `${openAll}; setInterval(() => {}, 1e6)`),
        readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
      },
    }),
    of('proxy-files', { proxy: { command: fewFiles(20, 'pilot-agent') } }),
    of('proxy-inotify', { proxy: noInotify }),
    of('secret', { container: { env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'nosuch', key: 'x' } } }] } }),
    of('waits', {
      spec: {
        initContainers: [
          {
            name: 'wait-for-db',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: ['node', '-e', "console.log('waiting for the database'); setInterval(() => {}, 1e6)"],
          },
        ],
      },
    }),
    of('held', { spec: gated }),
    of('gate', { spec: { readinessGates: [{ conditionType: 'test/gate' }] } }),
  ]
}

beforeAll(async () => {
  testCluster = await embeddedMesh()
  machine = runner(testCluster.runner)
  const { mirror = '', overlays = '' } = testCluster.inputs
  const istio = { stages: 'install', 'istio-version': ISTIO_VERSION, profile: 'demo', mirror, overlays }
  expect((await machine.main(istio)).report?.error).toBeUndefined()
  await testCluster.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait'])
  await testCluster.run(['kubectl', 'create', 'namespace', namespace])
  kubeconfig = await delivererKubeconfig(testCluster, machine.home, namespace)
})
afterAll(async () => {
  await scaleIstiod(1)
  await testCluster.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait=false'])
  machine.remove()
  rmSync(folder, { recursive: true })
})

const causes = ({ pods }: Report) => Object.fromEntries(pods.map(({ name, cause }) => [name, cause ?? '']))

test('verify names a pod that is older than the injection label of its namespace at once', async () => {
  await apply(pod('bare'))
  await label('istio-injection=enabled')
  const { code, report } = await verify()
  expect(code).toBe(1)
  expect(causes(report)).toEqual({
    bare: expect.stringContaining(
      'the pod has no sidecar: it was created before the namespace asked for sidecars',
    ) as string,
  })
})

test('verify waits for an older pod while one with a sidecar replaces it', async () => {
  await resetNamespace()
  await label('istio-injection=disabled')
  await apply(deployment('late', 'late'))
  await kubectl('rollout', 'status', 'deploy/late', '--timeout=90s')
  await label('istio-injection=enabled')
  await kubectl('rollout', 'restart', 'deploy/late')
  const { code, report } = await verify('verify: { timeout: 60s }')
  expect(report.error).toBeUndefined()
  expect(code).toBe(0)
  expect(report.pods.map(({ ready, sidecar }) => [ready, sidecar])).toEqual([['2/2', 'native']])
})

describe('a healthy application', () => {
  beforeAll(async () => {
    await resetNamespace()
    await apply(...app, mtls('STRICT'))
    for (const name of ['web-v1', 'web-v2', 'greeter', 'user'])
      await kubectl('rollout', 'status', `deploy/${name}`, '--timeout=90s')
  })

  const policies = `
mtls: strict
services: { web: { subsets: { v1: { version: v1 }, v2: { version: v2 } }, timeout: 2s, retries: { attempts: 2 }, circuitBreaker: { consecutive5xxErrors: 50 } } }
verify: { trafficChecks: true, timeout: 30s }
`
  test('has all sidecars ready and in sync, refuses plaintext, and its traffic follows the policies', async () => {
    // Once in a hundred runs, a split is outside its interval by chance. The row then says to run it again.
    let { code, report } = await verify(policies)
    for (let again = 0; again < 2 && report.trafficChecks?.some(({ text }) => text.endsWith('run it again')); again++)
      ({ code, report } = await verify(policies))
    expect(report.error).toBeUndefined()
    expect(code).toBe(0)
    expect(report.pods.map(({ ready, ok }) => [ready, ok])).toEqual(Array(4).fill(['2/2', true]))
    expect(report.proxies?.map(({ ok }) => ok)).toEqual(Array(4).fill(true))
    expect(report.mtls?.map(({ port, expected, seen }) => [port, expected, seen]).sort()).toEqual([
      [8080, 'STRICT', 'refused'],
      [8080, 'STRICT', 'refused'],
      [9000, 'STRICT', 'skipped'],
    ])
    expect(report.mtls?.find(({ port }) => port === 9000)?.note).toContain('tcp-greeter')
    const trafficChecks = Object.fromEntries(
      report.trafficChecks?.map(({ service, what, ok, text }) => [`${service} ${what}`, { ok, text }]) ?? [],
    )
    expect(trafficChecks['web split']).toEqual({
      ok: true,
      text: expect.stringMatching(/^v1 \d+ of \d+ .*weight 80%\), v2 \d+ of \d+ .*weight 20%\)$/) as string,
    })
    expect(trafficChecks['web retries']).toEqual({
      ok: true,
      text: expect.stringMatching(/^[1-9]\d* retries, [1-9]\d* of them successful/) as string,
    })
    expect(trafficChecks['web ejections']?.text).toMatch(/^0 ejections/)
    // A server that sends first, under STRICT.
    expect(trafficChecks['greeter reachable']).toEqual({
      ok: true,
      text: expect.stringMatching(/[1-9]\d* connections were made, 0 failed/) as string,
    })
  })

  test('answers plaintext under PERMISSIVE', async () => {
    await apply(mtls('PERMISSIVE'))
    const { code, report } = await verify('mtls: permissive')
    expect(code).toBe(0)
    expect(
      report.mtls?.filter(({ port }) => port === 8080).map(({ expected, seen, ok }) => [expected, seen, ok]),
    ).toEqual(Array(2).fill(['PERMISSIVE', 'answered', true]))
  })

  test('is out of sync if Envoy rejects its configuration, and verify reports the reason', async () => {
    await apply(badFilter('user'))
    await until(20, () => kubectl('logs', 'deploy/user', '-c', 'istio-proxy', '--tail=50'), /v3.Cluster rejected/)
    const { code, report } = await verify()
    await kubectl('delete', 'envoyfilter', 'bad')
    expect(code).toBe(1)
    expect(report.error).toMatch(
      /the proxy of verify-test\/user-\S+ is not in sync: Envoy rejected its clusters .*cluster provided LB specified/,
    )
    expect(report.proxies?.filter(({ ok }) => !ok)).toHaveLength(1)
  })

  test('is in sync again after the faulty object is deleted', async () => {
    const { code } = await verify()
    expect(code).toBe(0)
  })
})

describe('an application with classic sidecars', () => {
  beforeAll(async () => {
    await resetNamespace()
    await apply(
      web,
      deployment('web-v1', 'web', { ...httpPort, form: 'classic', labels: { version: 'v1' } }),
      mtls('STRICT'),
    )
    await kubectl('rollout', 'status', 'deploy/web-v1', '--timeout=90s')
  })

  test('has all sidecars ready and in sync, and refuses plaintext', async () => {
    const { code, report } = await verify('mtls: strict')
    expect(report.error).toBeUndefined()
    expect(code).toBe(0)
    expect(report.pods.map(({ ready, sidecar, ok }) => [ready, sidecar, ok])).toEqual([['2/2', 'classic', true]])
    expect(report.proxies?.map(({ ok }) => ok)).toEqual([true])
    expect(report.mtls?.map(({ seen }) => seen)).toEqual(['refused'])
  })
})

describe.each<SidecarForm>(['native', 'classic'])('with a %s sidecar,', (form) => {
  let rows: Report['pods']
  beforeAll(async () => {
    await resetNamespace()
    await apply(...brokenPods(form))
    // From now on, pods with the rights of istio-init are forbidden. The pods above exist already.
    await label('pod-security.kubernetes.io/enforce=restricted')
    await apply(deployment('insecure', 'insecure', { form }))
    // On a busy machine the last of the pods starts later than `verify` waits.
    await until(150, () => kubectl('get', 'pods'), /gate +2\/2 +Running[^]*probe +1\/2 +Running/)
    await until(150, () => stateOfInit('waits', 'wait-for-db'), /running/)
    const { code, report } = await verify('verify: { timeout: 30s }')
    await testCluster.run(['kubectl', 'label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce-'])
    expect(code).toBe(1)
    rows = report.pods
  })

  test.each<[string, string, RegExp]>([
    [
      'whose image cannot be pulled',
      'image',
      /^container app: the image 127\.0\.0\.1:1\/nosuch:1 cannot be pulled \((ErrImagePull|ImagePullBackOff)/,
    ],
    [
      "whose sidecar's image cannot be pulled",
      'proxy-image',
      /^container istio-init: the image 127\.0\.0\.1:1\/nosuch:1 cannot be pulled/,
    ],
    [
      'whose traffic rules cannot be set up',
      'init-crash',
      /^istio-init could not set up the pod's traffic rules \(exit code \d+\): .*Permission denied.*NET_ADMIN/s,
    ],
    [
      'whose sidecar rejects its configuration',
      'rejected',
      /^the sidecar is not ready: Envoy rejected its configuration: .*cluster provided LB specified.*EnvoyFilter/s,
    ],
    [
      'whose probe fails while its sidecar is ready',
      'probe',
      /^container app is not ready: Readiness probe failed: .*:9999.*connection refused/s,
    ],
    ['that never becomes ready', 'never', /^container app is not ready: Readiness probe failed/],
    ['that asks for too much CPU', 'cpu', /^no node takes the pod: .*Insufficient cpu; free room/],
    ['that asks for too much memory', 'memory', /^no node takes the pod: .*Insufficient memory; free room/],
    [
      'that wants a node which is not there',
      'no-node',
      /^no node takes the pod: .*affinity\/selector; correct the pod's nodeSelector/,
    ],
    [
      'that wants a volume which is not there',
      'no-claim',
      /^no node takes the pod: .*"nosuch" not found.*PersistentVolumeClaims$/,
    ],
    [
      'that crashes, with its last words',
      'crash',
      /^container app ended with exit code 3 \(Error\), \d+ restarts?: no DB_HOST$/,
    ],
    [
      'that crashes, with what stands above the stack',
      'throws',
      /^container app ended with exit code 1 \(Error\), \d+ restarts?: Error: no DB_HOST$/,
    ],
    ['that ran out of memory', 'oom', /^container app ended with exit code 137 \(OOMKilled\).*limit of 64Mi/],
    // The exit code is 0 if the kernel killed Envoy and its parent, pilot-agent, ended by itself.
    [
      'whose sidecar ran out of memory',
      'proxy-oom',
      /^container istio-proxy ended with exit code (137|0) \(OOMKilled\).*limit of 16Mi/,
    ],
    [
      'that may open no more files',
      'files',
      /^container app ended with exit code 1 .*EMFILE: too many open files, open '\/etc\/hosts'; raise .*ulimit -n/,
    ],
    [
      'that may open no more files, and keeps running',
      'files-unready',
      /^container app is not ready: Readiness probe failed.*; its log says: EMFILE: too many open files.*ulimit -n/,
    ],
    [
      'whose sidecar may open no more files',
      'proxy-files',
      /^container istio-proxy ended with exit code \d+ .*too many open files.*; raise .*ulimit -n/i,
    ],
    [
      'whose sidecar finds no inotify instance left',
      'proxy-inotify',
      /^container istio-proxy ended with exit code \d+ .*couldn't initialize inotify: too many open files; raise fs\.inotify\.max_user_instances/,
    ],
    ['whose Secret is missing', 'secret', /^container app cannot be created: secret "nosuch" not found/],
    [
      'whose init container does not end',
      'waits',
      /^init container wait-for-db has not ended.*waiting for the database/,
    ],
    ['with a scheduling gate', 'held', /scheduling gates/],
    [
      'whose readiness gate is not met',
      'gate',
      /^its containers are ready, but a readiness gate of the pod is not: .*"test\/gate"/,
    ],
    [
      'that pod security forbids',
      'Deployment/insecure',
      /^no pod can be created: .*violates PodSecurity "restricted.*istio-init needs.*pod-security\.kubernetes\.io\/enforce/s,
    ],
  ])('verify reports the cause for a pod %s', (_, name, cause) => {
    const row = rows.find((each) => each.name === name)
    expect(row?.cause).toMatch(cause)
    expect(row?.sidecar).toBe(name.startsWith('Deployment/') ? 'none' : form)
  })
})

test('verify names a pod that started before the Istio CNI plugin, and says what to do', async () => {
  await resetNamespace()
  const injector = (...args: string[]) => testCluster.run(['kubectl', '-n', 'istio-system', ...args])
  const before = JSON.parse(
    await injector('get', 'configmap', 'istio-sidecar-injector', '--show-managed-fields', '-o', 'json'),
  ) as {
    metadata: { managedFields: object[] }
    data: { values: string }
  }
  const { values } = before.data
  const inject = async (text: string, init: RegExp) => {
    await injector(
      'patch',
      'configmap',
      'istio-sidecar-injector',
      '--type=merge',
      '--patch',
      JSON.stringify({ data: { values: text } }),
    )
    const file = join(folder, 'dry.json')
    writeFileSync(file, JSON.stringify(pod('dry')))
    await until(60, () => kubectl('create', '--dry-run=server', '-o', 'json', '-f', file), init)
  }
  // istioctl writes this value if the config enables the plugin. The plugin never starts here, so the pod always loses
  // the race.
  const withCni = JSON.parse(values) as { pilot: { cni: { enabled: boolean } } }
  withCni.pilot.cni.enabled = true
  try {
    await inject(JSON.stringify(withCni), /istio-validation/)
    await apply(pod('early'))
    await until(60, () => kubectl('get', 'pod', 'early'), /Init:(Error|CrashLoopBackOff)/)
    const { code, report } = await verify('verify: { timeout: 1s }')
    expect(code).toBe(1)
    expect(causes(report)['early']).toMatch(
      /^the pod's traffic rules are missing \(istio-validation, exit code 126\): iptables validation failed; workload is not ready for Istio; .*delete the pod/,
    )
  } finally {
    await inject(values, /istio-init/)
    // A field that a stranger wrote would keep the next file on this mesh from installing another profile.
    const owners = [{ op: 'replace', path: '/metadata/managedFields', value: before.metadata.managedFields }]
    await injector('patch', 'configmap', 'istio-sidecar-injector', '--type=json', '--patch', JSON.stringify(owners))
  }
})

test('verify names a pod with a slow image pull, and the image', async () => {
  await resetNamespace()
  await apply(
    pod('tarpit', {
      labels: { 'sidecar.istio.io/inject': 'false' },
      container: { command: ['node', '-e', "require('net').createServer(() => {}).listen(5000)"] },
    }),
  )
  await kubectl('wait', '--for=condition=Ready', 'pod/tarpit', '--timeout=60s')
  const address = await kubectl('get', 'pod', 'tarpit', '-o', 'jsonpath={.status.podIP}')
  await apply(pod('slow', { container: { image: `${address}:5000/slow:1` } }))
  await until(60, () => kubectl('get', 'events', '--field-selector=involvedObject.name=slow'), /Pulling image/)
  const { code, report } = await verify('verify: { timeout: 1s }')
  expect(code).toBe(1)
  expect(causes(report)['slow']).toMatch(
    /^an image is still being pulled: Pulling image ".*:5000\/slow:1"; wait longer/,
  )
})

describe('on a node with broken network plugins,', () => {
  const file = join(nodeDir, 'cni/mesh-canary.conflist')
  const waitForNode = (state: RegExp) =>
    until(120, () => testCluster.run(['kubectl', 'get', 'nodes', '--no-headers']), state)
  const verifyCauses = async () => causes((await verify('verify: { timeout: 1s }')).report)
  let causesByPod: Record<string, string>
  beforeAll(async () => {
    await resetNamespace()
    const original = readFileSync(file, 'utf8')
    const { plugins, ...rest } = JSON.parse(original) as { plugins: object[] }
    try {
      writeFileSync(file, JSON.stringify({ ...rest, plugins: [...plugins, { type: 'istio-cni' }] }))
      await apply(pod('unplugged'))
      await until(
        60,
        () => kubectl('get', 'events', '--field-selector=involvedObject.name=unplugged'),
        /FailedCreatePodSandBox/,
      )
      const { unplugged = '' } = await verifyCauses()
      rmSync(file)
      await waitForNode(/ NotReady /)
      await apply(pod('unplaced'), pod('unconnected', { spec: { nodeName } }))
      await until(
        60,
        () => kubectl('get', 'events', '--field-selector=involvedObject.name=unconnected'),
        /NetworkNotReady|FailedCreatePodSandBox/,
      )
      causesByPod = { ...(await verifyCauses()), unplugged }
    } finally {
      writeFileSync(file, original)
      await waitForNode(/ Ready /)
    }
  })

  test.each<[string, string, RegExp]>([
    [
      'that needs a missing plugin',
      'unplugged',
      /^the pod's network cannot be set up: failed to setup network for sandbox .*failed to find plugin "istio-cni".*remove it from the CNI configuration/,
    ],
    [
      'that was placed there',
      'unconnected',
      /^the pod's network cannot be set up: .*cni plugin not initialized.*check that its network plugin runs/,
    ],
    [
      'that is not placed there',
      'unplaced',
      /^no node takes the pod: .*untolerated taint.*; check why the node has its taint/,
    ],
  ])('verify reports the cause for a pod %s', (_, name, cause) => {
    expect(causesByPod[name]).toMatch(cause)
  })

  test('verify passes once the network works again', async () => {
    const { code } = await verify('verify: { timeout: 60s }')
    expect(code).toBe(0)
  })
})

describe('without istiod,', () => {
  let causesByPod: Record<string, string>
  beforeAll(async () => {
    await resetNamespace()
    await kubectl('delete', 'envoyfilter', '--all')
    // The injector answers while the test creates the pods, and is gone when they start.
    await apply(
      pod('no-config', { spec: gated }),
      pod('no-config-classic', { form: 'classic', spec: gated }),
      pod('no-root-cert', { spec: gated }),
    )
    await scaleIstiod(0)
    await ungate('no-config')
    await ungate('no-config-classic')
    await until(60, () => kubectl('get', 'pods'), /no-config +0\/2 +Init:1\/2[^]*no-config-classic +1\/2 +Running/)
    await kubectl('delete', 'configmap', 'istio-ca-root-cert')
    await ungate('no-root-cert')
    await apply(deployment('no-webhook', 'no-webhook'))
    const { code, report } = await verify('verify: { timeout: 12s }')
    expect(code).toBe(1)
    causesByPod = causes(report)
  })

  test.each<[string, string, RegExp]>([
    [
      'whose sidecar gets neither certificate nor configuration',
      'no-config',
      /^the sidecar is not ready: it got no (certificate|configuration) from istiod; check that istiod runs/,
    ],
    [
      'whose classic sidecar gets neither',
      'no-config-classic',
      /^the sidecar is not ready: it got no (certificate|configuration) from istiod; check that istiod runs/,
    ],
    [
      'that cannot mount the root certificate',
      'no-root-cert',
      /^a volume cannot be mounted: .*istio-ca-root-cert.*check that istiod runs/,
    ],
    [
      'that cannot be created because the injector does not answer',
      'Deployment/no-webhook',
      /^no pod can be created: .*failed calling webhook.*check that istiod runs/s,
    ],
  ])('verify reports the cause for a pod %s', (_, name, cause) => {
    expect(causesByPod[name]).toMatch(cause)
  })
})
