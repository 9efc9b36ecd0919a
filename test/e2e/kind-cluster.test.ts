// The built bundle and the real kind make clusters, in a Docker of their own (test/mesh/kind).
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cgroupFolders } from '../mesh/cgroups.ts'
import { ISTIO_VERSION } from '../mesh/index.ts'
import { dockerCgroup, dockerFolder } from '../mesh/kind/docker-daemon.ts'
import { KIND_MIRROR_URL, kindDown, kindEnvironment, kindUp, kindNodeImage } from '../mesh/kind/index.ts'
import { adaptedToMesh } from './checkout.ts'
import { runner, type Inputs } from './runner.ts'
import {
  deploySampleApp,
  kindRunnerOptions,
  kubeProgram,
  liveWeights,
  sampleApp,
  sampleImage,
  type TestCluster,
} from './world.ts'

const exec = promisify(execFile)
let machine: ReturnType<typeof runner>
let machineInputs: Inputs
let metrics: string
/** The cluster `shop`, once it exists. */
let shop: TestCluster
let stateBefore: MachineState

beforeAll(async () => {
  await kindDown()
  stateBefore = await machineState()
  await kindUp()
  const { runner: options, inputs } = kindRunnerOptions()
  machine = runner(options)
  const { mirror = '', overlays = '' } = inputs
  machineInputs = { mirror, overlays, 'istio-version': ISTIO_VERSION }
  metrics = inputs['metrics']!
})
afterAll(() => machine.remove())

const docker = async (...args: string[]) => {
  const { enter, env } = kindEnvironment()!
  const [program = '', ...rest] = enter(['docker', ...args])
  return (await exec(program, rest, { env: { ...process.env, ...env } })).stdout.trim()
}
const nodes = async () => (await docker('ps', '--all', '--format', '{{.Names}}')).split('\n').filter(Boolean).sort()
/** The inputs of a run with these settings of the cluster; the node image is ours, unless a config file names it. */
const inputsFor = (settings: Record<string, unknown>, more: Inputs = {}): Inputs => ({
  ...machineInputs,
  cluster: JSON.stringify({
    type: 'kind',
    mirror: KIND_MIRROR_URL,
    ...('config' in settings ? {} : { image: kindNodeImage }),
    ...settings,
  }),
  ...more,
})
const shopSettings = { name: 'shop', nodes: 2, keep: true, ports: { http: 8088, https: 8444 } }
const shopNodes = ['shop-control-plane', 'shop-worker']

/** A config file that promotes the sample app's v2 in short steps. */
function promotionConfig(): string {
  const file = join(machine.home, 'mesh.yaml')
  writeFileSync(
    file,
    adaptedToMesh({ inputs: { ...machineInputs, metrics } }, readFileSync(`${sampleApp}/mesh.yaml`, 'utf8')),
  )
  return file
}

test('a run makes a cluster of two nodes from nothing, loads images and installs Istio', async () => {
  const { code, outputs, log } = await machine.main(
    inputsFor(shopSettings, { stages: 'cluster, install', profile: 'demo', 'load-images': sampleImage }),
  )
  expect(code, log).toBe(0)
  expect(outputs).toMatchObject({ 'ingress-address': '127.0.0.1:8088' })
  expect(await nodes()).toEqual(shopNodes)
  // A later run deletes the action's own kubeconfig.
  writeFileSync(join(machine.home, 'kubeconfig'), readFileSync(outputs['kubeconfig']!), { mode: 0o600 })
  shop = {
    runner: kindEnvironment()!,
    inputs: inputsFor(shopSettings),
    run: kubeProgram(kindEnvironment()!, join(machine.home, 'kubeconfig')),
  }
  const ready = await shop.run(['kubectl', 'get', 'nodes', '--no-headers'])
  expect(
    ready
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[1]),
  ).toEqual(['Ready', 'Ready'])
})

test('the sample app gets its sidecars, users reach it at the ingress address, and a healthy v2 is promoted', async () => {
  await deploySampleApp(shop, 'healthy')
  const { code, outputs, report, log } = await machine.run({
    ...shop.inputs,
    config: promotionConfig(),
    stages: 'inject, policies, verify, promote',
    expose: '{ frontend: { port: 3000, hosts: ["*"] } }',
  })
  expect(code, log).toBe(0)
  expect(outputs['verdict']).toBe('promoted')
  expect(report!.pods.map(({ ready }) => ready)).toEqual(['2/2', '2/2', '2/2', '2/2'])
  expect(await liveWeights(shop)).toEqual({ v1: 0, v2: 100 })
  const address = outputs['ingress-address']!
  const request = `fetch('http://${address}/').then((response) => console.log(response.status))`
  expect((await shop.run([process.execPath, '-e', request])).trim()).toBe('200')
})

test('a failing v2 is rolled back on the kind cluster', async () => {
  await shop.run(['kubectl', '-n', 'sample-app', 'delete', 'virtualservice/backend', 'deployment/backend-v2', '--wait'])
  await shop.run(['kubectl', 'apply', '-k', `${sampleApp}/v2/failing`])
  await shop.run(['kubectl', '-n', 'sample-app', 'rollout', 'status', 'deployment/backend-v2', '--timeout=120s'])
  const { code, outputs } = await machine.run({
    ...shop.inputs,
    config: promotionConfig(),
    stages: 'policies, promote',
  })
  expect([code, outputs['verdict']]).toEqual([1, 'rolled-back'])
  expect(await liveWeights(shop)).toEqual({ v1: 100, v2: 0 })
})

test('a later run uses the cluster of that name, reports how it differs, and changes nothing', async () => {
  const main = await machine.main(inputsFor({ name: 'shop', nodes: 3, ports: { http: 80 } }, { stages: 'cluster' }))
  expect([main.code, main.outputs['changed'], main.outputs['ingress-address']], main.log).toEqual([
    0,
    '0',
    '127.0.0.1:8088',
  ])
  expect(main.report?.warnings).toEqual([
    expect.stringContaining('cluster: shop exists, and it has 2 nodes, and 3 are asked for'),
    expect.stringContaining('cluster: shop exists, and port 80 of this machine is asked for HTTP, and it has 8088'),
    expect.stringContaining('cluster: shop exists, and port 443 of this machine is asked for HTTPS, and it has 8444'),
  ])
  const written = main.outputs['kubeconfig']!
  expect([statSync(written).mode & 0o777, statSync(dirname(written)).mode & 0o777]).toEqual([0o600, 0o700])
  expect(main.log).not.toContain('client-key-data')
  await machine.post({}, main.state)
  expect(() => statSync(written)).toThrow('ENOENT')
  expect(await nodes()).toEqual(shopNodes)
})

test.each([
  [
    'a field that kind does not know',
    'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnode: []\n',
    'cluster.config: kind rejects the file: line 3: unknown field `node` in a Cluster',
  ],
  [
    'a wrong apiVersion',
    'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha3\n',
    'it has apiVersion "kind.x-k8s.io/v1alpha3" and kind "Cluster", expected kind.x-k8s.io/v1alpha4 and Cluster',
  ],
  [
    'no control plane',
    'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: worker\n',
    'has no node with the role control-plane',
  ],
])('the action rejects a config file with %s, and creates nothing', async (_, text, wanted) => {
  const file = join(machine.home, 'rejected.yaml')
  writeFileSync(file, text)
  const { code, report } = await machine.run(inputsFor({ name: 'other', config: file }, { stages: 'cluster' }))
  expect([code, report?.error]).toEqual([1, expect.stringContaining(wanted)])
  expect(await nodes()).toEqual(shopNodes)
})

test('a port that the other cluster holds is reported, and nothing of the new cluster stays', async () => {
  const { code, report } = await machine.run(inputsFor({ name: 'other', ports: { http: 8088 } }, { stages: 'cluster' }))
  expect([code, report?.error]).toEqual([
    1,
    expect.stringMatching(/^cluster\.ports: \S*8088 is in use on this machine/),
  ])
  expect(await nodes()).toEqual(shopNodes)
})

test('missing images and archives are reported before a cluster is made', async () => {
  const missing = 'docker.io/mesh-canary/sample-ap:1, mysql.tar'
  const { report } = await machine.run(inputsFor({ name: 'other' }, { stages: 'cluster', 'load-images': missing }))
  const [archive, name] = report!.error!.split('\n')
  expect(archive).toBe(
    'cluster.loadImages: the file mysql.tar does not exist; write it in an earlier step (`docker save -o mysql.tar IMAGE`)',
  )
  expect(name).toMatch(
    /^cluster\.loadImages: the image \S+sample-ap:1 is not on this machine; did you mean `\S+sample-app:1`/,
  )
  expect(await nodes()).toEqual(shopNodes)
})

test('post deletes the cluster of a run that was killed in the middle', async () => {
  const inputs = inputsFor(
    { name: 'killed', keep: true, ports: { http: 8090, https: 8445 } },
    {
      stages: 'cluster',
    },
  )
  const main = await machine.main(inputs, {
    onStart: (_, kill) =>
      void (async () => {
        while (!(await nodes()).includes('killed-control-plane')) await sleep(50)
        kill('SIGKILL')
      })().catch(() => kill('SIGKILL')),
  })
  const post = await machine.post(inputs, main.state)
  expect(post.code, post.log).toBe(0)
  expect(await nodes()).toEqual(shopNodes)
})

test('when the control plane fails, the run keeps the logs, and post deletes the cluster', async () => {
  const config = join(machine.home, 'kind.yaml')
  writeFileSync(
    config,
    `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: broken
nodes:
- role: control-plane
  image: ${kindNodeImage}
  kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    featureGates: { NoSuchGate: true }
`,
  )
  const { code, outputs, report, post } = await machine.run(inputsFor({ config }, { stages: 'cluster' }))
  expect([code, post.code]).toEqual([1, 0])
  expect(report?.error).toContain('cluster: ')
  const logs = outputs['cluster-logs']!
  expect(readdirSync(join(logs, 'broken-control-plane'))).toContain('kubelet.log')
  expect(await nodes()).toEqual(shopNodes)
})

test('a stopped cluster is reported with the command that starts it', async () => {
  await docker('kill', 'shop-worker')
  const { code, report, post } = await machine.run(inputsFor(shopSettings, { stages: 'cluster' }))
  expect([code, post.code, report?.error]).toEqual([
    1,
    0,
    expect.stringMatching(/exists, but is stopped: shop-worker Exited \(137\).*`docker start shop-worker`/),
  ])
  await docker('start', 'shop-worker')
})

test('without `keep`, post deletes the cluster', async () => {
  const { code, post, log } = await machine.run(inputsFor({ name: 'shop', keep: false }, { stages: 'cluster' }))
  expect([code, post.code], log).toEqual([0, 0])
  expect(await nodes()).toEqual([])
})

test('the end of Docker leaves no process, mount, control group, setting or file', async () => {
  await kindDown()
  expect(await machineState()).toEqual(stateBefore)
})

type MachineState = { settings: string[]; mounts: string[]; groups: string[]; links: string[]; hasFolder: boolean }

/** Values that change by themselves, or with what else runs on the machine. */
const volatile =
  /^(fs\.(dentry|file-nr|inode|aio-nr|quota)|kernel\.(random|pty\.nr|ns_last_pid|sched)|net\..*count|vm\.)/

async function machineState(): Promise<MachineState> {
  const lines = (text: string) => text.split('\n').filter(Boolean)
  const { stdout: settings } = await exec('sysctl', ['-a'], { maxBuffer: 16 << 20 })
  const { stdout: links } = await exec('ip', ['-brief', 'link'])
  return {
    settings: lines(settings).filter((line) => !volatile.test(line)),
    mounts: lines(readFileSync('/proc/self/mounts', 'utf8')),
    groups: cgroupFolders().filter((folder) => existsSync(join(folder, dockerCgroup))),
    links: lines(links),
    hasFolder: existsSync(dockerFolder),
  }
}
