// The faults: the process of the run is killed or cancelled, or a part of the cluster fails and recovers.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ActionRun, Inputs } from '../../test/e2e/runner.ts'
import type { TestCluster } from '../../test/e2e/world.ts'
import { status } from '../../test/mesh/index.ts'
import { leaseHolder } from '../mesh/index.ts'

/** The current run. `act` runs another one beside it. */
export type RunningAction = {
  kill: (signal: NodeJS.Signals) => void
  ended: Promise<ActionRun>
  act: (inputs: Inputs) => Promise<ActionRun>
}

/** Short, because the benchmark only measures how much longer than this the traffic takes to be safe. */
export const guardSeconds = 5
/** The traffic must be safe this many seconds after the run is lost. */
export const limitSeconds = guardSeconds + 5
const pauseSeconds = 20

/**
 * `limitSeconds`: absent if the run survives and may end its promotion at its own pace. `post`: the runner survives and
 * runs the post step. `arm`, called before the run, looks up everything that it needs, so that the fault happens at
 * once.
 */
export type Fault = {
  name: string
  limitSeconds?: number
  post: boolean
  arm: (testCluster: TestCluster) => Promise<TriggerFault> | TriggerFault
}
/** Resolves to when the fault happened (ms since the epoch), if that was later than the point. */
export type TriggerFault = (victim: RunningAction) => Promise<number | void> | void

/** The runner is gone at once, so there is no post step. */
export const sigkill: Fault = {
  name: 'SIGKILL',
  limitSeconds,
  post: false,
  arm:
    () =>
    ({ kill }) =>
      kill('SIGKILL'),
}

export const sigint: Fault = { name: 'SIGINT', limitSeconds, post: true, arm: () => cancelLikeRunner }

/** The run's process stands still, as on a runner that is suspended, and wakes up when its guard has rolled back. */
export const frozen: Fault = {
  name: 'frozen until its guard has taken over',
  limitSeconds,
  post: true,
  arm:
    (testCluster) =>
    async ({ kill }) => {
      kill('SIGSTOP')
      const until = Date.now() + (limitSeconds + 5) * 1_000
      while (Date.now() < until && (await leaseHolder(testCluster)) !== '') await sleep(200)
      kill('SIGCONT')
    },
}

export const apiServerKilled: Fault = { name: 'API server killed', post: true, arm: () => killing('kube-apiserver') }
export const containerdKilled: Fault = { name: 'containerd killed', post: true, arm: () => killing('containerd') }
export const istiodKilled = podsKilled('istiod killed', 'istio-system', 'app=istiod')

/** Kubernetes starts the pods again. */
export function podsKilled(name: string, namespace: string, label: string): Fault {
  const argv = ['kubectl', '-n', namespace, 'delete', 'pod', '-l', label, '--force', '--wait=false']
  return {
    name,
    post: true,
    arm:
      ({ run }) =>
      async () =>
        void (await run(argv)),
  }
}

export const apiServerPaused: Fault = {
  name: `API server away for ${pauseSeconds} s`,
  post: true,
  arm: async () => {
    const pid = await pidOf('kube-apiserver')
    return () => pauseProcess(pid, pauseSeconds)
  },
}

/** Nobody can return the traffic to stable before the API server works again. */
export const sigkillWhileApiServerPaused: Fault = {
  name: `SIGKILL, API server away for ${pauseSeconds} s`,
  limitSeconds: pauseSeconds + limitSeconds,
  post: false,
  arm: async () => {
    const pid = await pidOf('kube-apiserver')
    return ({ kill }) => (kill('SIGKILL'), pauseProcess(pid, pauseSeconds))
  },
}

/** Waits after each kill but the last, so that istiod watches again before the next one. */
const pausesSeconds = [10, 15, 25]

/**
 * Clients that watch the API server wait longer after each failure (first 0.8 s, finally 30 to 60 s), and start over
 * only after two minutes without a failure. After the last of several kills, istiod may receive a change that late.
 */
export const apiServerKilledOften: Fault = {
  name: `API server killed ${pausesSeconds.length + 1} times in two minutes`,
  post: true,
  arm: async () => {
    for (const pause of pausesSeconds) {
      process.kill(await pidOf('kube-apiserver'), 'SIGKILL')
      await sleep(pause * 1_000)
    }
    return killing('kube-apiserver')
  },
}

/** The supervisor restarts the killed component. */
async function killing(component: string): Promise<TriggerFault> {
  const pid = await pidOf(component)
  return () => void process.kill(pid, 'SIGKILL')
}

/** Cancels as GitHub's runner does: SIGINT, SIGTERM after 7.5 s, and SIGKILL after another 2.5 s. */
async function cancelLikeRunner({ kill, ended }: RunningAction): Promise<void> {
  const waiting = new AbortController()
  const escalate = async () => {
    await sleep(7_500, undefined, waiting)
    kill('SIGTERM')
    await sleep(2_500, undefined, waiting)
    kill('SIGKILL')
  }
  kill('SIGINT')
  await Promise.race([ended, escalate().catch(() => undefined)])
  waiting.abort()
}

async function pidOf(component: string): Promise<number> {
  const pid = (await status())?.components.find(({ name }) => name === component)?.pid ?? 0
  if (pid === 0) throw new Error(`${component} does not run; see \`npm run mesh -- status\``)
  return pid
}

/** Uses a separate process, so that the paused one continues even if this process ends in the meantime. */
async function pauseProcess(pid: number, seconds: number): Promise<void> {
  const child = spawn('sh', ['-c', 'kill -STOP "$0"; sleep "$1"; kill -CONT "$0"', `${pid}`, `${seconds}`], {
    detached: true,
    stdio: 'ignore',
  })
  await once(child, 'close')
}

export async function waitForHealthyCluster(): Promise<void> {
  await waitUntil(
    'the cluster is not well again',
    async () => (await status())?.components.every(({ healthy }) => healthy) ?? false,
  )
}

export async function waitUntil(problem: string, isDone: () => Promise<boolean>): Promise<void> {
  for (const from = Date.now(); !(await isDone()); await sleep(200)) {
    if (Date.now() - from > 60_000) throw new Error(`${problem}, after 60 s`)
  }
}
