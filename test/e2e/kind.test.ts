// `cluster: kind` with the built bundle and the real kind. There is no Docker daemon, so docker.ts replaces the program
// `docker`: the commands and how the action handles failures are real, but nothing runs in the nodes.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { gatewayValues } from '../../src/kind/layout.ts'
import { buildPrograms, goTool } from '../mesh/go.ts'
import { configOf, serve } from '../unit/fixtures.ts'
import type { Answers } from './docker.ts'
import { runner, type Inputs, type RunnerOptions } from './runner.ts'
import { embeddedMesh } from './world.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-kind-test-'))
let kind: string

beforeAll(async () => {
  kind = await goTool('kind')
  mkdirSync(join(folder, 'bin'))
  writeFileSync(
    join(folder, 'bin', 'docker'),
    `#!/bin/sh\nexec ${process.execPath} ${resolve(import.meta.dirname, 'docker.ts')} "$@"\n`,
    { mode: 0o755 },
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const noAnswers: Answers = { nodes: [], images: [], run: { says: 'docker: something new' }, mapped: {} }

/** A runner with the fake Docker, and a mirror of kind's releases. */
async function machineWith(answers: Partial<Answers> = {}, options: RunnerOptions = {}) {
  const dockerFolder = mkdtempSync(join(folder, 'docker-'))
  writeFileSync(join(dockerFolder, 'answers.json'), JSON.stringify({ ...noAnswers, ...answers }))
  const binary = readFileSync(kind)
  const mirror = await serve(({ url }, response) => {
    if (!url.startsWith('/v0.33.0/kind-')) return void response.writeHead(404).end()
    response.end(url.endsWith('.sha256sum') ? `${createHash('sha256').update(binary).digest('hex')}  kind\n` : binary)
  })
  const machine = runner({
    ...options,
    env: { ...options.env, PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, DOCKER_ANSWERS: dockerFolder },
  })
  onTestFinished(machine.remove)
  writeFileSync(join(dockerFolder, 'calls.jsonl'), '')
  const dockerCalls = () =>
    readFileSync(join(dockerFolder, 'calls.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as string[])
  return {
    ...machine,
    mirror: mirror.requests,
    dockerCalls,
    inputs: (cluster = '', more: Inputs = {}): Inputs => ({
      cluster: `{ type: kind, mirror: "${mirror.address}"${cluster} }`,
      ...more,
    }),
  }
}

const dockerRuns = (dockerCalls: string[][]) =>
  dockerCalls
    .filter(([first]) => first === 'run')
    .sort()
    .map((args) => args.join(' '))

test('kind knows every flag that the action passes', () => {
  const flags: Record<string, string[]> = {
    'create cluster': ['retain', 'kubeconfig', 'config', 'image', 'name'],
    'delete cluster': ['kubeconfig', 'name'],
    'get clusters': [],
    'get kubeconfig': ['name'],
    'export logs': ['name'],
    'load docker-image': ['name'],
    'load image-archive': ['name'],
  }
  for (const [command, wanted] of Object.entries(flags)) {
    const help = execFileSync(kind, [...command.split(' '), '--help'], { encoding: 'utf8' })
    expect([command, wanted.filter((flag) => !help.includes(`--${flag} `))]).toEqual([command, []])
  }
})

test.each(['default', 'demo', 'minimal'])(
  'the ingress gateway of the profile %s, if it has one, gets the node ports that kind maps',
  async (profile) => {
    const values = gatewayValues(configOf('cluster: kind').cluster).flatMap((pair) => ['--set', pair])
    const rendered = execFileSync(
      join(await buildPrograms(), 'istioctl'),
      ['manifest', 'generate', '--set', `profile=${profile}`, ...values],
      { encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'ignore'] },
    )
    const objects = loadAll(rendered).map(
      (document) =>
        document as {
          kind?: string
          metadata?: { name: string }
          spec: { type: string; ports: object[] }
        } | null,
    )
    const gateway = objects.find(
      (object) => object?.kind === 'Service' && object.metadata?.name === 'istio-ingressgateway',
    )
    const ports = [
      { name: 'status-port', port: 15021, targetPort: 15021, nodePort: 30021 },
      { name: 'http2', port: 80, targetPort: 8080, nodePort: 30080 },
      { name: 'https', port: 443, targetPort: 8443, nodePort: 30443 },
    ]
    expect(gateway?.spec).toEqual(
      profile === 'minimal' ? undefined : expect.objectContaining({ type: 'NodePort', ports }),
    )
  },
)

test('a run without a container runtime fails before any download, and the error names the runtimes it looked for', async () => {
  const machine = runner({ env: { PATH: join(folder, 'none') } })
  onTestFinished(machine.remove)
  const { code, log, report } = await machine.run({
    cluster: '{ type: kind, mirror: "http://127.0.0.1:1" }',
    'istio-version': '1.31.0',
  })
  expect([code, report?.error]).toEqual([
    1,
    expect.stringContaining(
      'none answers here: docker is not installed (not on the PATH); nerdctl is not installed (not on the PATH); podman is not installed (not on the PATH). Start Docker',
    ),
  ])
  expect(log).not.toContain('downloaded')
})

test('kind creates the requested nodes, image and ports; the run reports an occupied port, and leaves nothing behind', async () => {
  const machine = await machineWith({
    run: {
      says: 'docker: Error response from daemon: driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:8080 failed: port is already allocated',
      together: 2,
    },
  })
  const inputs = machine.inputs(', name: shop, nodes: 2, ports: { http: 8080, https: 8443 }', {
    'istio-version': '1.31.0',
  })
  const first = await machine.run(inputs)
  expect([first.code, first.report?.error]).toEqual([
    1,
    expect.stringMatching(/^cluster\.ports: 127\.0\.0\.1:8080 is in use on this machine/),
  ])
  const [controlPlane = '', worker = '', ...rest] = dockerRuns(machine.dockerCalls())
  const image = 'kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed'
  expect(controlPlane).toMatch(
    /--name shop-control-plane .*--publish=127\.0\.0\.1:8080:30080\/TCP --publish=127\.0\.0\.1:8443:30443\/TCP /,
  )
  expect([controlPlane.endsWith(image), worker.endsWith(image), worker.includes('--publish'), rest]).toEqual([
    true,
    true,
    false,
    [],
  ])
  expect(machine.dockerCalls().filter(([first]) => first === 'rm')).toEqual([
    ['rm', '-f', '-v', 'shop-control-plane', 'shop-worker'],
  ])

  const second = await machine.run(inputs)
  expect(second.log).toContain('kind 0.33.0: from the tool cache')
  expect(machine.mirror.map(({ url }) => url).sort()).toEqual(
    ['/v0.33.0/kind-linux-amd64', '/v0.33.0/kind-linux-amd64.sha256sum'].map((url) =>
      url.replace('amd64', process.arch === 'arm64' ? 'arm64' : 'amd64'),
    ),
  )
})

test('the post step deletes a cluster whose creation was killed, even with `keep`', async () => {
  const machine = await machineWith({ run: 'hangs' })
  const main = await machine.main(machine.inputs(', keep: true'), {
    onStart: (_, kill) =>
      void (async () => {
        while (!machine.dockerCalls().some(([first]) => first === 'run')) await sleep(50)
        kill('SIGKILL')
      })().catch(() => kill('SIGKILL')),
  })
  const post = await machine.post({}, main.state)
  expect([post.code, machine.dockerCalls().at(-1)]).toEqual([0, ['rm', '-f', '-v', 'mesh-canary-control-plane']])
  expect(readdirSync(join(machine.home, 'temp')).filter((name) => name.startsWith('mesh-canary-kind-'))).toEqual([])
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
  const machine = await machineWith()
  const file = join(machine.home, 'kind.yaml')
  writeFileSync(file, text)
  const { code, report } = await machine.run(machine.inputs(`, config: "${file}"`))
  expect([code, report?.error]).toEqual([1, expect.stringContaining(wanted)])
})

test('the error names missing images and archives before the action creates a cluster', async () => {
  const machine = await machineWith({ images: ['sample-app:1'] })
  const { report } = await machine.run(machine.inputs('', { 'load-images': 'sample-ap:1, mysql.tar' }))
  expect(report?.error).toBe(
    'cluster.loadImages: the file mysql.tar does not exist; write it in an earlier step (`docker save -o mysql.tar IMAGE`)\ncluster.loadImages: the image sample-ap:1 is not on this machine; did you mean `sample-app:1`?; build it or pull it in an earlier step (`docker pull sample-ap:1`)',
  )
  expect(dockerRuns(machine.dockerCalls())).toEqual([])
})

test('the error for an existing, stopped cluster says what to do, and the cluster stays', async () => {
  const machine = await machineWith({
    nodes: [{ name: 'mesh-canary-control-plane', cluster: 'mesh-canary', state: 'Exited (137) 2 hours ago' }],
  })
  const { report, post } = await machine.run(machine.inputs())
  expect(report?.error).toContain(
    'exists, but is stopped: mesh-canary-control-plane Exited (137) 2 hours ago; start it (`docker start mesh-canary-control-plane`)',
  )
  expect([post.code, machine.dockerCalls().filter(([first]) => first === 'rm' || first === 'run')]).toEqual([0, []])
})

// The existing cluster has the API server of the embedded mesh.
test('the action uses an existing cluster, reports how it differs, and deletes it at the end only on request', async () => {
  const testCluster = await embeddedMesh()
  const kubeconfig = join(folder, 'admin.conf')
  writeFileSync(kubeconfig, await testCluster.run(['kubectl', 'config', 'view', '--raw', '--minify']))
  const server = (
    await testCluster.run(['kubectl', 'config', 'view', '--minify', '-o', 'jsonpath={.clusters[0].cluster.server}'])
  ).replace('https://', '')
  const machine = await machineWith(
    {
      nodes: [{ name: 'shop-control-plane', cluster: 'shop', state: 'Up 2 hours' }],
      mapped: { '30080/tcp': '127.0.0.1:8088' },
      kubeconfig,
      server,
    },
    testCluster.runner,
  )
  // The mirror is outside the mesh's network, so kind has to be in the tool cache.
  const cached = join(machine.home, 'tools', 'kind', '0.33.0', process.arch)
  mkdirSync(cached, { recursive: true })
  cpSync(kind, join(cached, 'kind'))
  writeFileSync(`${cached}.complete`, '')

  const main = await machine.main(
    machine.inputs(', name: shop, nodes: 3, kubernetes: 1.32, ports: { http: 80 }', { stages: 'cluster' }),
  )
  expect([main.code, main.report?.error, main.outputs['ingress-address'], main.outputs['changed']]).toEqual([
    0,
    undefined,
    '127.0.0.1:8088',
    '0',
  ])
  expect(main.report?.warnings).toEqual([
    expect.stringContaining('cluster: shop exists, and it has 1 node, and 3 are asked for'),
    expect.stringMatching(/cluster: shop exists, and its nodes run Kubernetes 1\.\d+\.\d+, and 1\.32 is asked for/),
    expect.stringContaining('cluster: shop exists, and port 80 of this machine is asked for HTTP, and it has 8088'),
    expect.stringContaining('cluster: shop exists, and port 443 of this machine is asked for HTTPS, and it has none'),
  ])
  const written = main.outputs['kubeconfig']!
  expect([statSync(written).mode & 0o777, statSync(dirname(written)).mode & 0o777]).toEqual([0o600, 0o700])
  expect(main.log).not.toContain('client-key-data')
  await machine.post({}, main.state)
  expect(machine.dockerCalls().filter(([first]) => first === 'rm')).toEqual([])
  expect(() => statSync(written)).toThrow('ENOENT')

  const deleting = await machine.run(machine.inputs(', name: shop, keep: false', { stages: 'cluster' }))
  expect([deleting.post.code, machine.dockerCalls().at(-1)]).toEqual([0, ['rm', '-f', '-v', 'shop-control-plane']])
})
