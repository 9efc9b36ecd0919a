// Shared by the benchmarks on the real mesh: the sample app, a user that logs its responses, and runs of the action.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runner, type ActionRun, type Inputs, type RunnerOptions } from '../../test/e2e/runner.ts'
import { applyObjects, deploySampleApp, embeddedMesh, type TestCluster } from '../../test/e2e/world.ts'

const config = join(import.meta.dirname, 'mesh.yaml')

type Totals = { sent: number; v1: number; v2: number; failed: number }
/** What the user counted in a period, and the times (ms since the epoch) of the first and the last response of v2. */
export type UserCounts = Totals & { firstV2: number | undefined; lastV2: number | undefined }

export type Bench = {
  testCluster: TestCluster
  /** Runs the action with the benchmark's mesh.yaml and these inputs over it. */
  act: (inputs?: Inputs, options?: RunnerOptions) => Promise<ActionRun>
  /** The post step after a run that left this state. */
  post: (state: Record<string, string>) => Promise<ActionRun>
  /** Does the work, and returns what the user counted from its start until a few seconds after it. */
  watch: <T>(work: () => Promise<T>) => Promise<{ result: T; counts: UserCounts }>
  end: () => Promise<void>
}

/** kubectl in the namespace of the sample app. */
export function kubectl({ run }: TestCluster, ...args: string[]): Promise<string> {
  return run(['kubectl', '-n', 'sample-app', ...args])
}

/** Who holds the Lease of the backend's promotion; empty if nobody does. */
export function leaseHolder(testCluster: TestCluster): Promise<string> {
  const holder = ['--ignore-not-found', '-o', 'jsonpath={.spec.holderIdentity}']
  return kubectl(testCluster, 'get', 'lease', 'mesh-canary-backend', ...holder)
}

/** Sets up the mesh, the sample app with this v2, sidecars, policies, and a user at this rate. */
export async function setUpBench(
  variant: 'healthy' | 'failing',
  user: { rps: number; keepAlive: boolean },
): Promise<Bench> {
  const testCluster = await embeddedMesh()
  await deploySampleApp(testCluster, variant)
  await kubectl(testCluster, 'set', 'env', 'deploy/frontend', 'STEADY_RPS=0')
  const machine = runner(testCluster.runner)
  const act = (inputs: Inputs = {}, options: RunnerOptions = {}) =>
    machine.main({ ...testCluster.inputs, config, ...inputs }, options)
  const post = (state: Record<string, string>) => machine.post({ ...testCluster.inputs, config }, state)
  const ready = await act({ stages: 'install, inject, policies, verify' })
  if (ready.code !== 0) throw new Error(`the mesh could not be prepared:\n${ready.log}`)
  await startUser(testCluster, user)
  return {
    testCluster,
    act,
    post,
    watch: (work) => watch(testCluster, work),
    end: async () => (machine.remove(), void (await kubectl(testCluster, 'delete', 'deployment', 'user', '--wait'))),
  }
}

/** Replaces the user by another one. */
export async function startUser(
  testCluster: TestCluster,
  { rps, keepAlive, host = 'backend' }: { rps: number; keepAlive: boolean; host?: string },
): Promise<void> {
  await kubectl(testCluster, 'delete', 'deployment,configmap', 'user', '--ignore-not-found', '--wait')
  await kubectl(testCluster, 'create', 'configmap', 'user', `--from-file=${join(import.meta.dirname, 'client.js')}`)
  await applyObjects(testCluster, [deployment({ HOST: host, RPS: String(rps), KEEP_ALIVE: String(keepAlive) })])
  await kubectl(testCluster, 'rollout', 'status', 'deploy/user', '--timeout=120s')
}

function deployment(env: Record<string, string>): object {
  const labels = { app: 'user', version: 'v1' }
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'user', namespace: 'sample-app' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'user',
              image: 'docker.io/mesh-canary/sample-app:1',
              imagePullPolicy: 'IfNotPresent',
              command: ['node', '/user/client.js'],
              env: Object.entries(env).map(([name, value]) => ({ name, value })),
              volumeMounts: [{ name: 'user', mountPath: '/user' }],
            },
          ],
          volumes: [{ name: 'user', configMap: { name: 'user' } }],
        },
      },
    },
  }
}

/**
 * A line of the user's log: a response that is not a 200 of v1, or its totals since it started, and when (ms since the
 * epoch) each version last responded.
 */
export type Line = {
  at: number
  totals?: Totals
  last?: { v1?: number; v2?: number }
  version?: string
  status?: number
}

/** Does the work, and returns what the user counted from its start until a few seconds after it. */
export async function watch<T>(
  testCluster: TestCluster,
  work: () => Promise<T>,
): Promise<{ result: T; counts: UserCounts }> {
  const from = Date.now()
  await sleep(1_500)
  const result = await work()
  await sleep(3_000)
  const lines = await userLog(testCluster, from)
  const totals = lines.flatMap((line) => line.totals ?? [])
  const [first, last] = [totals[0], totals.at(-1)]
  if (!first || !last || totals.length < 2)
    throw new Error('the user wrote no totals; see `kubectl -n sample-app logs deploy/user`')
  const ofV2 = lines.filter(({ version }) => version === 'v2').map(({ at }) => at)
  return {
    result,
    counts: {
      sent: last.sent - first.sent,
      v1: last.v1 - first.v1,
      v2: last.v2 - first.v2,
      failed: last.failed - first.failed,
      firstV2: ofV2[0],
      lastV2: ofV2.at(-1),
    },
  }
}

/** The lines that the user logged since then (ms since the epoch), and those of the same second before it. */
export async function userLog(testCluster: TestCluster, from: number): Promise<Line[]> {
  const since = `--since-time=${new Date(from).toISOString()}`
  const log = await kubectl(testCluster, 'logs', 'deploy/user', '-c', 'user', since)
  return log
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Rows as text, with columns as wide as needed. */
export function table(heads: string[], rows: string[][]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: string[]) => cells.map((cell, i) => cell.padStart(widths[i]!)).join('  ')
  return [line(heads), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

/** @throws Error with the action's log, unless it ended with this verdict. */
export function expectVerdict({ outputs, log }: ActionRun, verdict: string): void {
  if (outputs['verdict'] !== verdict)
    throw new Error(`expected the verdict ${verdict}, got ${outputs['verdict'] ?? 'none'}:\n${log}`)
}
