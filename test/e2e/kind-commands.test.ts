// Which image, nodes and ports the action and the real kind ask for. fake-docker.ts replaces the program `docker`, because
// the Docker of kind-cluster.test.ts has no registry to pull kind's own images from.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { loadAll } from 'js-yaml'
import { gatewayValues } from '../../src/kind/layout.ts'
import { buildPrograms, goTool } from '../mesh/go.ts'
import { configOf, serve } from '../unit/fixtures.ts'
import { runner } from './runner.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-canary-kind-test-'))
let kind: string

beforeAll(async () => {
  kind = await goTool('kind')
  mkdirSync(join(folder, 'bin'))
  writeFileSync(
    join(folder, 'bin', 'docker'),
    `#!/bin/sh\nexec ${process.execPath} ${resolve(import.meta.dirname, 'fake-docker.ts')} "$@"\n`,
    { mode: 0o755 },
  )
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A runner with the fake Docker, and a mirror of kind's releases. */
async function machineWith(nodes: number) {
  const calls = join(folder, 'calls.jsonl')
  writeFileSync(calls, '')
  const binary = readFileSync(kind)
  const mirror = await serve(({ url }, response) => {
    if (!url.startsWith('/v0.33.0/kind-')) return void response.writeHead(404).end()
    response.end(url.endsWith('.sha256sum') ? `${createHash('sha256').update(binary).digest('hex')}  kind\n` : binary)
  })
  const env = { PATH: `${join(folder, 'bin')}:/usr/bin:/bin`, DOCKER_CALLS: calls, DOCKER_NODES: String(nodes) }
  const machine = runner({ env })
  onTestFinished(machine.remove)
  const dockerCalls = () =>
    readFileSync(calls, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as string[])
  return { ...machine, mirror, dockerCalls }
}

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

test('kind asks for the nodes, the default image and the ports; the run reports an occupied port, and removes the nodes', async () => {
  const machine = await machineWith(2)
  const inputs = {
    cluster: `{ type: kind, mirror: "${machine.mirror.address}", name: shop, nodes: 2, ports: { http: 8080, https: 8443 } }`,
    'istio-version': '1.31.0',
  }
  const first = await machine.run(inputs)
  expect([first.code, first.report?.error]).toEqual([
    1,
    expect.stringMatching(/^cluster\.ports: 127\.0\.0\.1:8080 is in use on this machine/),
  ])
  const runs = machine.dockerCalls().filter(([verb]) => verb === 'run')
  const [controlPlane = '', worker = '', ...rest] = runs.map((args) => args.join(' ')).sort()
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
  expect(machine.dockerCalls().filter(([verb]) => verb === 'rm')).toEqual([
    ['rm', '-f', '-v', 'shop-control-plane', 'shop-worker'],
  ])

  const second = await machine.run(inputs)
  expect(second.log).toContain('kind 0.33.0: from the tool cache')
  expect(machine.mirror.requests.map(({ url }) => url).sort()).toEqual(
    ['/v0.33.0/kind-linux-amd64', '/v0.33.0/kind-linux-amd64.sha256sum'].map((url) =>
      url.replace('amd64', process.arch === 'arm64' ? 'arm64' : 'amd64'),
    ),
  )
})
