// The cluster that tests run on, and the inputs that the action needs there: the embedded mesh, or kind if Docker runs.
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { enter, istioOverlay, meshEnv, MIRROR_URL, up } from '../mesh/index.ts'
import { KIND_MIRROR_URL, kindEnvironment, kindNodeImage } from '../mesh/kind/index.ts'
import { runner, type Inputs, type RunnerOptions } from './runner.ts'

const exec = promisify(execFile)
export const sampleApp = resolve(import.meta.dirname, '../../examples/sample-app')

export type TestCluster = {
  /** How to run the action there. */
  runner: RunnerOptions
  /** Inputs that only this cluster needs. */
  inputs: Inputs
  run: (argv: readonly string[]) => Promise<string>
}

/** For Istio as built here: the mirror serves its istioctl, and its stock Envoy adds a prefix to Istio's counters. */
export const metricNames = {
  requests: 'envoy_istio_requests_total',
  duration: 'envoy_istio_request_duration_milliseconds',
}
const istioInputs: Inputs = { mirror: MIRROR_URL, overlays: istioOverlay, metrics: JSON.stringify(metricNames) }

/** Starts the embedded mesh. */
export async function embeddedMesh(): Promise<TestCluster> {
  await up()
  const env = meshEnv()
  return {
    runner: { enter, env },
    inputs: istioInputs,
    run: (argv) => output(enter(argv), env),
  }
}

export const sampleImage = 'docker.io/mesh-canary/sample-app:1'
/** Later releases of the sample app: a healthy one, and one that answers 20% of the requests with a 500. */
export const sampleImages = {
  next: 'docker.io/mesh-canary/sample-app:2',
  failing: 'docker.io/mesh-canary/sample-app:2-failing',
}

/** How to run the action where kind makes clusters: in the Docker of `npm run mesh -- kind up`, else in this machine's. */
export function kindRunnerOptions(): { runner: RunnerOptions; inputs: Inputs; cluster: object } {
  const environment = kindEnvironment()
  if (!environment) return { runner: {}, inputs: {}, cluster: { type: 'kind' } }
  const cluster = { type: 'kind', mirror: KIND_MIRROR_URL, image: kindNodeImage }
  return { runner: environment, inputs: istioInputs, cluster }
}

/** A cluster that the action creates or has created before, with the image of the sample app. It stays afterwards. */
export async function kindCluster(onLine: (line: string) => void): Promise<TestCluster> {
  const { runner: options, inputs, cluster: settings } = kindRunnerOptions()
  const machine = runner(options)
  process.once('exit', machine.remove)
  const cluster = JSON.stringify({ ...settings, keep: true })
  const runAction = async (more: Inputs) => {
    const { code, outputs } = await machine.main({ cluster, stages: 'cluster', ...more }, { onLine })
    if (code !== 0)
      throw new Error(
        'There is no cluster, as told above. `npm run mesh -- kind up` brings a Docker; `npm start` alone needs none.',
      )
    return outputs
  }
  await runAction({})
  if (!kindEnvironment()) await buildSampleImages()
  const images = [sampleImage, sampleImages.next, sampleImages.failing]
  const { kubeconfig = '' } = await runAction({ 'load-images': images.join(', ') })
  return { runner: options, inputs: { ...inputs, cluster }, run: kubeProgram(options, kubeconfig) }
}

async function buildSampleImages(): Promise<void> {
  const variants = [
    [sampleImage],
    [sampleImages.next, 'VERSION=v2'],
    [sampleImages.failing, 'VERSION=v2', 'FAIL_RATE=0.2'],
  ]
  for (const [tag = '', ...settings] of variants) {
    const args = settings.flatMap((each) => ['--build-arg', each])
    await output(['docker', 'build', '--tag', tag, ...args, sampleApp], {})
  }
}

/** Runs programs such as kubectl with this kubeconfig where the runner is. */
export function kubeProgram({ enter = (argv) => [...argv], env = {} }: RunnerOptions, kubeconfig: string) {
  return (argv: readonly string[]): Promise<string> => output(enter(argv), { ...env, KUBECONFIG: kubeconfig })
}

async function output([program = '', ...args]: readonly string[], env: Record<string, string>): Promise<string> {
  const { stdout } = await exec(program, args, { env: { ...process.env, ...env }, maxBuffer: 64 << 20 })
  return stdout
}

/** Without a `namespace`, each object states its own. */
export function applyObjects({ run }: TestCluster, items: object[], namespace?: string): Promise<string> {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  const place = namespace === undefined ? '' : `-n ${namespace}`
  return run(['sh', '-c', `printf %s "$0" | kubectl ${place} apply -f -`, list])
}

/** Deploys the sample app anew, with this variant of v2 if there is one, and waits until all of it runs. */
export async function deploySampleApp(
  { run }: TestCluster,
  variant?: 'healthy' | 'failing' | 'slow' | 'crashing',
): Promise<void> {
  await run(['kubectl', 'delete', 'namespace', 'sample-app', '--ignore-not-found', '--wait'])
  await run(['kubectl', 'apply', '-f', `${sampleApp}/app.yaml`])
  if (variant) await run(['kubectl', 'apply', '-k', `${sampleApp}/v2/${variant}`])
  const ready = ['mysql', 'backend', 'frontend', ...(variant && variant !== 'crashing' ? ['backend-v2'] : [])]
  for (const name of ready)
    await run(['kubectl', '-n', 'sample-app', 'rollout', 'status', `deploy/${name}`, '--timeout=120s'])
}

const rbac = resolve(import.meta.dirname, '../../deploy/rbac')

/**
 * Writes a kubeconfig with only the rights of deploy/rbac/deliver.yaml in the namespace, and of `more` files beside it.
 * @returns its path.
 */
export async function delivererKubeconfig(
  testCluster: TestCluster,
  folder: string,
  namespace = 'sample-app',
  ...more: string[]
): Promise<string> {
  await applyRights(testCluster, folder, namespace, ['deliver.yaml', ...more])
  return accountKubeconfig(testCluster, folder, namespace, 'mesh-canary')
}

/** Grants what these files of deploy/rbac list, in the namespace. */
export async function applyRights(
  { run }: TestCluster,
  folder: string,
  namespace: string,
  files: string[],
): Promise<void> {
  const copy = mkdtempSync(join(folder, 'rbac-'))
  cpSync(rbac, copy, { recursive: true })
  const kustomization = join(copy, 'kustomization.yaml')
  writeFileSync(
    kustomization,
    readFileSync(kustomization, 'utf8')
      .replace('namespace: sample-app', `namespace: ${namespace}`)
      .replace('resources: [deliver.yaml]', `resources: [${files.join(', ')}]`),
  )
  await run(['kubectl', 'apply', '-k', copy])
}

/** Writes a kubeconfig of a ServiceAccount of the namespace. @returns its path. */
export async function accountKubeconfig(
  { run }: TestCluster,
  folder: string,
  namespace: string,
  account: string,
): Promise<string> {
  const token = (await run(['kubectl', '-n', namespace, 'create', 'token', account, '--duration=4h'])).trim()
  const { clusters } = JSON.parse(await run(['kubectl', 'config', 'view', '--raw', '--minify', '-o', 'json'])) as {
    clusters: { name: string }[]
  }
  const context = { name: account, context: { cluster: clusters[0]!.name, user: account } }
  const file = join(folder, `${account}.json`)
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters,
      contexts: [context],
      'current-context': account,
      users: [{ name: account, user: { token } }],
    }),
    { mode: 0o600 },
  )
  return file
}

/**
 * Creates a pod whose sidecar, in place of counters, answers one byte per second without end, and waits until it is
 * ready. Returns a function that deletes it.
 */
export async function drippingPod(testCluster: TestCluster): Promise<() => Promise<unknown>> {
  const { run } = testCluster
  const program = `
    require('node:http').createServer((_, answer) => {
      answer.flushHeaders()
      setInterval(() => answer.write('#'), 1000)
    }).listen(15090)`
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'dripping',
      namespace: 'sample-app',
      labels: { app: 'dripping', 'sidecar.istio.io/inject': 'false' },
    },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'istio-proxy', image: sampleImage, imagePullPolicy: 'IfNotPresent', command: ['node', '-e', program] },
      ],
    },
  }
  await applyObjects(testCluster, [pod])
  await run(['kubectl', '-n', 'sample-app', 'wait', '--for=condition=Ready', 'pod/dripping', '--timeout=60s'])
  return () => run(['kubectl', '-n', 'sample-app', 'delete', 'pod', 'dripping', '--ignore-not-found'])
}

/**
 * The options of a server that closes no idle connection, written as JavaScript. By default Node.js closes it after five
 * seconds, and a sidecar may send a request over it just then: that request fails, whatever the run does.
 */
export const keepsConnections = '{ keepAliveTimeout: 3_700_000 }'

export type Traffic = { sent: number; failed: number; versions: Record<string, number> }

/** What the frontend or another client has counted since its pod started: the traffic as users see it. */
export async function traffic({ run }: TestCluster, client = 'frontend'): Promise<Traffic> {
  const log = await run(['kubectl', '-n', 'sample-app', 'logs', `deploy/${client}`, '-c', client, '--tail', '5'])
  const line = log
    .trim()
    .split('\n')
    .findLast((each) => each.startsWith('{"traffic"'))
  return line ? (JSON.parse(line) as { traffic: Traffic }).traffic : { sent: 0, failed: 0, versions: {} }
}

/** The weights in the VirtualService in the cluster, by subset. */
export async function liveWeights({ run }: TestCluster, service = 'backend'): Promise<Record<string, number>> {
  const object = JSON.parse(
    await run(['kubectl', '-n', 'sample-app', 'get', 'virtualservice', service, '-o', 'json']),
  ) as {
    spec: { http: { route: { destination: { subset: string }; weight?: number }[] }[] }
  }
  return Object.fromEntries(
    object.spec.http[0]!.route.map(({ destination, weight }) => [destination.subset, weight ?? 0]),
  )
}

/** Calls a function of src/canary/traffic/router.ts, or `adopt`, in the mesh's network. */
export async function callInMesh({ run }: TestCluster, name: string, ...args: unknown[]): Promise<unknown> {
  return JSON.parse(
    await run([process.execPath, resolve(import.meta.dirname, 'call.ts'), name, JSON.stringify(args)]),
  ) as unknown
}
