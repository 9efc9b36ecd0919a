// Shops on the real mesh, each one Deployment behind a Service, with users who call it all the time; and releases to them.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { eventually } from './echo.ts'
import { runner, type RunnerOptions } from './runner.ts'
import { applyObjects, delivererKubeconfig, embeddedMesh, keepsConnections, sampleImage } from './world.ts'

const namespace = 'arcade'

export const service = (app: string) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: app, namespace },
  spec: { selector: { app }, ports: [{ name: 'http', port: 3001 }] },
})

/**
 * Answers with the version of its image, and its offer; the image says how many of the answers fail. A ConfigMap of its name
 * may set OFFER, and how much CPU time an answer takes.
 */
export const shop = (app: string, labels: object, image = sampleImage) =>
  deployment(
    app,
    { app },
    labels,
    image,
    `
    const { VERSION = 'v1', OFFER = '', FAIL_RATE = 0, CPU_MS = 0 } = process.env
    require('node:http').createServer(${keepsConnections}, (_, response) => {
      const begun = process.cpuUsage()
      while (process.cpuUsage(begun).user < CPU_MS * 1000);
      response.writeHead(Math.random() < FAIL_RATE ? 500 : 200).end(VERSION + OFFER)
    }).listen(3001)
    process.on('SIGTERM', () => setTimeout(() => process.exit(), 3000))`,
    [{ configMapRef: { name: app, optional: true } }],
  )

/** Sends twenty requests a second, and logs how many it has sent, the last answer, and when and why calls failed. */
export const caller = (app: string) =>
  deployment(
    `${app}-caller`,
    { app: `${app}-caller` },
    {},
    sampleImage,
    `
    const counts = { sent: 0, failed: 0, last: '', lastFailure: '' }
    const ask = async () => {
      const begun = new Date().toISOString()
      const answer = await fetch('http://${app}:3001/')
        .then(async (response) => ({ ok: response.ok, text: await response.text() }))
        .catch(({ message, cause }) => ({ ok: false, text: message + ': ' + cause?.message }))
      counts.sent++
      if (answer.ok) counts.last = answer.text
      else {
        counts.failed++
        counts.lastFailure = 'from ' + begun + ' to ' + new Date().toISOString() + ': ' + answer.text
      }
    }
    setInterval(ask, 50)
    setInterval(() => console.log(JSON.stringify(counts)), 500)
    process.on('SIGTERM', () => process.exit())`,
  )

export function deployment(
  name: string,
  own: object,
  more: object,
  image: string,
  program: string,
  envFrom: object[] = [],
) {
  const container = { name: 'app', image, imagePullPolicy: 'IfNotPresent', command: ['node', '-e', program], envFrom }
  // Two versions of each shop have to fit on a small node.
  const annotations = { 'sidecar.istio.io/proxyCPU': '5m', 'sidecar.istio.io/proxyMemory': '32Mi' }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: own },
      template: { metadata: { labels: { ...own, ...more }, annotations }, spec: { containers: [container] } },
    },
  }
}

type ReleaseOptions = RunnerOptions & { steps?: string }
export type Arcade = Awaited<ReturnType<typeof openArcade>>
/** `lastFailure` says when a call began and ended, and its answer or error. */
type Calls = { sent: number; failed: number; last: string; lastFailure: string }

/** Installs the mesh, creates the namespace anew with these objects, and waits until their Deployments are ready. */
export async function openArcade(...objects: { kind: string; metadata: { name: string } }[]) {
  const testCluster = await embeddedMesh()
  const machine = runner(testCluster.runner)
  const kubectl = (...args: string[]) => testCluster.run(['kubectl', '-n', namespace, ...args])
  const ready = (name: string) => kubectl('rollout', 'status', `deploy/${name}`, '--timeout=120s')
  const apply = (...items: object[]) => applyObjects(testCluster, items)

  /** What the callers of a shop have counted since their pod started. */
  async function calls(app: string): Promise<Calls> {
    const log = await kubectl('logs', `deploy/${app}-caller`, '-c', 'app', '--tail', '1')
    return log === '' ? { sent: 0, failed: 0, last: '', lastFailure: '' } : (JSON.parse(log) as Calls)
  }

  /** Fails with the last failure of a call, if one failed since. */
  async function expectNoFailure(app: string, { failed }: Calls): Promise<void> {
    const now = await calls(app)
    expect(now.failed - failed, now.lastFailure).toBe(0)
  }

  const { mirror = '', overlays = '', metrics = '' } = testCluster.inputs
  const installed = await machine.main({ mirror, overlays, 'istio-version': '1.31.0', profile: 'minimal' })
  expect(installed.code, installed.log).toBe(0)
  await testCluster.run(['kubectl', 'delete', 'namespace', namespace, '--ignore-not-found', '--wait'])
  const labels = { 'istio-injection': 'enabled' }
  await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }, ...objects)
  for (const { kind, metadata } of objects) if (kind === 'Deployment') await ready(metadata.name)
  /** All releases have only the rights of deploy/rbac/deliver.yaml. */
  const kubeconfig = await delivererKubeconfig(testCluster, machine.home, namespace)

  return {
    testCluster,
    home: machine.home,
    kubectl,
    ready,
    apply,

    calls,
    expectNoFailure,

    /** Waits until the callers of a shop get answers, and no call fails any more. */
    async answered(app: string): Promise<void> {
      let before = await calls(app)
      await eventually(async () => {
        const [{ sent, failed }, now] = [before, await calls(app)]
        before = now
        expect(now.last !== '' && now.sent > sent && now.failed === failed).toBe(true)
      })
    },

    /**
     * Runs the action on a shop; with `main`, without its post step. A busy machine makes some answers slow, and these tests are
     * not about the latency.
     */
    release(
      app: string,
      plan: string,
      { steps = '50, 100', ...options }: ReleaseOptions = {},
      step: 'run' | 'main' = 'run',
    ) {
      const file = join(machine.home, 'mesh.yaml')
      writeFileSync(
        file,
        `name: arcade-${app}
namespace: ${namespace}
canary: { service: ${app}, ${plan}, guard: 5s, progressDeadline: 60s, interval: 3s, steps: [${steps}], warmup: 0, checks: { tolerance: 10 } }
`,
      )
      return machine[step]({ kubeconfig, metrics, config: file, stages: 'policies, promote' }, options)
    },

    /** The images of the Deployments of a shop, by name. */
    async images(app: string): Promise<Record<string, string>> {
      const { items } = JSON.parse(await kubectl('get', 'deployments', '-o', 'json')) as {
        items: { metadata: { name: string }; spec: { template: { spec: { containers: { image: string }[] } } } }[]
      }
      const found = items.filter(({ metadata: { name } }) => name === app || name === `${app}-canary`)
      return Object.fromEntries(
        found.map(({ metadata, spec }) => [metadata.name, spec.template.spec.containers[0]!.image]),
      )
    },

    weights: (app: string) => kubectl('get', 'virtualservice', app, '-o', 'jsonpath={.spec.http[0].route[*].weight}'),

    /** Every label by which the subset of stable selects pods now. */
    stableLabels: (app: string) =>
      kubectl('get', 'destinationrule', app, '-o', 'jsonpath={.spec.subsets[?(@.name=="stable")].labels}'),

    async close(): Promise<void> {
      await kubectl('delete', 'namespace', namespace, '--wait=false')
      machine.remove()
    },
  }
}
