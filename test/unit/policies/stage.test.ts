// The stages plan, policies and verify: their requests, log lines and report. A fake stands for the cluster and a
// script for istioctl; the e2e tests run both for real.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Cluster } from '../../../src/cluster/client.ts'
import type { KubeObject, Workload } from '../../../src/cluster/objects.ts'
import { createRecorder } from '../../../src/report/recorder.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { plan, policies } from '../../../src/stages/policies.ts'
import type { StageContext } from '../../../src/stages/context.ts'
import { verify } from '../../../src/stages/verify.ts'
import { configOf, fileWith, pod, tempFolder, workload } from '../fixtures.ts'
import { ownerId } from '../../../src/policies/owned-objects.ts'
import { policy, recordingCluster } from './recording-cluster.ts'

/** A script that finds an error in whatever it analyzes. */
function istioctl(): string {
  const path = join(tempFolder(), 'istioctl')
  writeFileSync(path, '#!/bin/sh\necho \'[{"code":"IST0101","level":"Error","message":"no such subset"}]\'\n')
  chmodSync(path, 0o755)
  return path
}

const stats = 'envoy_cluster_manager_cds_update_success{} 1\nenvoy_listener_manager_lds_update_success{} 1\n'

function contextFor(
  yaml: string,
  objects: KubeObject[],
  more: Partial<StageContext> = {},
  signal = new AbortController().signal,
): StageContext & { lines: string[]; report: () => Readonly<Report> } {
  const lines: string[] = []
  const addLine = (line: string) => void lines.push(line)
  const recorder = createRecorder(emptyReport('shop', new Date(0), false))
  const cluster: Cluster = { ...recordingCluster(objects).cluster, pod: () => Promise.resolve(stats) }
  const host = { signal, tempDir: tempFolder(), info: addLine, warning: addLine } as unknown as StageContext['host']
  return {
    config: configOf(`namespace: shop\n${yaml}`),
    host,
    cluster,
    connection: { cliArgs: [] } as unknown as StageContext['connection'],
    stages: ['plan'],
    recorder,
    report: recorder.current,
    lines,
    ...more,
  } as unknown as StageContext & { lines: string[]; report: () => Readonly<Report> }
}

const withIstioctl = () => ({
  istioctl: { path: istioctl(), version: '1.31.0', cacheHit: true },
})
const discovery = { containers: [{ name: 'discovery', image: 'istio/pilot:1.31.0' }] }
const istiod: Workload = {
  ...workload('Deployment', 'istiod'),
  metadata: { name: 'istiod', namespace: 'istio-system', labels: { app: 'istiod' } },
  spec: { selector: {}, template: { spec: discovery } },
}

const strict = () =>
  `policies: ${fileWith('apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: { name: default }\nspec: { mtls: { mode: STRICT } }\n')}`

describe('the plan stage', () => {
  test('runs istioctl analyze when the mesh exists, even in a run that would install it', async () => {
    await expect(
      plan(contextFor('mtls: strict', [istiod], { ...withIstioctl(), stages: ['install', 'policies'] })),
    ).rejects.toThrow('IST0101: no such subset')
  })

  test('does not run istioctl analyze before the mesh exists', async () => {
    expect(await plan(contextFor('mtls: strict', [], { ...withIstioctl(), stages: ['install', 'policies'] }))).toEqual({
      changed: true,
    })
  })

  test('reports that it does not analyze without istioctl', async () => {
    const run = contextFor('mtls: strict', [])
    await plan(run)
    expect(run.lines).toContain('istioctl analyze did not run; set `istio-version` to run it')
  })
})

describe('istioctl is asked about the revision of the config', () => {
  /** The command lines of istioctl in the stages plan and verify; no counters can be read, so verify asks it. */
  async function commands(istio: string): Promise<string[]> {
    const path = join(tempFolder(), 'istioctl')
    writeFileSync(path, `#!/bin/sh\necho "$@" >> ${path}.log\necho '[]'\n`)
    chmodSync(path, 0o755)
    const run = contextFor(`${istio}services: { backend: { timeout: 1s } }`, [istiod, pod()], {
      istioctl: { path, version: '1.31.0', cacheHit: true },
    })
    const cluster = { ...run.cluster, pod: () => Promise.reject(new Error('forbidden')) } as Cluster
    const cancel = AbortSignal.timeout(1_500)
    await plan(run)
    await verify({ ...run, cluster, host: { ...run.host, signal: cancel } }).catch(() => undefined)
    return readFileSync(`${path}.log`, 'utf8').split('\n')
  }

  test.each([
    ['istio: { version: 1.31.0, revision: canary }\n', true],
    ['istio: { version: 1.31.0 }\n', false],
  ])('%j: %s', async (istio, isAsked) => {
    const lines = await commands(istio)
    for (const name of ['analyze', 'proxy-status']) {
      const line = lines.find((each) => each.startsWith(name))
      expect(line).toBeDefined()
      expect(line!.includes('--revision canary')).toBe(isAsked)
      expect(line!.includes('--revision')).toBe(isAsked)
    }
  })
})

test('objects of an earlier version that the config does not ask for stay, and the run says so once', async () => {
  const old: KubeObject = {
    ...policy('AuthorizationPolicy', 'default-deny', {}),
    metadata: {
      name: 'default-deny',
      namespace: 'shop',
      labels: { 'app.kubernetes.io/managed-by': 'mesh-canary', 'mesh-canary.io/config': ownerId('mesh-yaml') },
    },
  }
  const run = contextFor('mtls: strict', [old])
  await plan(run)
  await policies(run)
  expect(run.report().warnings).toEqual([
    expect.stringContaining('an earlier version of mesh-canary wrote AuthorizationPolicy shop/default-deny'),
  ])
  expect(run.report().changes.map(({ action }) => action)).toEqual(['created'])
})

test('a run that plans and applies warns once about STRICT in a manifest, as it does for STRICT in the config', async () => {
  const run = contextFor(strict(), [pod({ metadata: { name: 'bare' }, spec: { initContainers: [] } })])
  await plan(run)
  await policies(run)
  expect(run.report().warnings).toEqual([
    expect.stringContaining('a pod of shop without a sidecar sends nothing else: bare'),
  ])
  expect(run.lines.filter((line) => line.includes('sends nothing else'))).toHaveLength(1)
})

test('the verify stage probes whether STRICT in a manifest takes effect', async () => {
  const run = contextFor(strict(), [pod()])
  await verify(run)
  expect(run.report().mtls).toEqual([])
})

describe('STRICT with a caller that sends plaintext', () => {
  const counters = (count: number) =>
    `istio_requests_total{reporter="destination",destination_service_name="backend",connection_security_policy="none"} ${count}\n` +
    `envoy_listener_manager_lds_update_success{} ${count}\n`
  const plaintext = (yaml: string, stages: StageContext['stages']) => {
    const run = contextFor(yaml, [pod({ status: { phase: 'Running', startTime: new Date().toISOString() } })], {
      stages,
    })
    let count = 0
    return { ...run, cluster: { ...run.cluster, pod: () => Promise.resolve(counters(++count)) } }
  }

  test('is refused before anything is written, also by a plan', async () => {
    for (const stage of [plan, policies]) {
      const run = plaintext('mtls: strict', ['policies'])
      await expect(stage(run)).rejects.toThrow(/STRICT would cut off callers .* requests to backend/)
      expect(run.report().changes).toEqual([])
    }
  })

  test('is planned without a watch in a run that gives the callers a sidecar first', async () => {
    expect(await plan(plaintext('mtls: strict', ['plan', 'inject']))).toEqual({ changed: true })
  })

  test('is written if the config accepts the loss', async () => {
    const run = plaintext('mtls: { mode: strict, plaintextCallers: cut-off }', ['policies'])
    await policies(run)
    expect(run.report().changes).toMatchObject([{ kind: 'PeerAuthentication', action: 'created' }])
  })
})

test('the verify stage fails if another policy sets the mode, and names it', async () => {
  const served = pod({ spec: { containers: [{ name: 'app', ports: [{ containerPort: 8080 }] }] } })
  const theirs = policy('PeerAuthentication', 'legacy', { mtls: { mode: 'PERMISSIVE' } })
  const run = contextFor('mtls: strict', [served, theirs])
  await expect(verify(run)).rejects.toThrow(
    'the config asks for STRICT, but the mode is PERMISSIVE: the PeerAuthentication shop/legacy is in force',
  )
})

test('a run that is cancelled while it waits for the proxies stops, and its report lists what it wrote', async () => {
  const cancelled = new AbortController()
  const run = contextFor(
    'services: { backend: { subsets: { v1: {}, v2: {} }, traffic: { v1: 80, v2: 20 } } }',
    [pod()],
    {},
    cancelled.signal,
  )
  setTimeout(() => cancelled.abort(), 50)
  await expect(policies(run)).rejects.toThrow('not done: VirtualService shop/backend')
  expect(run.report().changes).toEqual([
    { kind: 'DestinationRule', namespace: 'shop', name: 'backend', action: 'created' },
  ])
})
