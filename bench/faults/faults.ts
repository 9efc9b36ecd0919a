// The faults: the run's own process is killed or cancelled, or a part of the cluster fails and comes back.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ActionRun } from '../../test/e2e/runner.ts'
import type { TestCluster } from '../../test/e2e/world.ts'
import { status } from '../../test/mesh/index.ts'

/** The current run. */
export type Victim = { kill: (signal: NodeJS.Signals) => void; ended: Promise<ActionRun> }

/** Short, to keep the benchmark short: what matters is how much longer it takes than this. */
export const guardSeconds = 5
/** The traffic must be safe this many seconds after the run is lost. */
export const limitSeconds = guardSeconds + 5
const awaySeconds = 20

/**
 * `limitSeconds`: absent if the run survives and may end its promotion at its own pace. `post`: the runner survives and runs
 * the post step. `arm`, called before the run, looks up everything that it needs, so that the fault happens at once.
 */
export type Fault = {
  name: string
  limitSeconds?: number
  post: boolean
  arm: (testCluster: TestCluster) => Promise<Strike> | Strike
}
export type Strike = (victim: Victim) => Promise<void> | void

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

export const sigint: Fault = { name: 'SIGINT', limitSeconds, post: true, arm: () => cancel }

export const apiServerKilled: Fault = { name: 'API server killed', post: true, arm: () => killing('kube-apiserver') }
export const containerdKilled: Fault = { name: 'containerd killed', post: true, arm: () => killing('containerd') }
export const istiodKilled: Fault = {
  name: 'istiod killed',
  post: true,
  arm:
    ({ run }) =>
    async () =>
      void (await run([
        'kubectl',
        '-n',
        'istio-system',
        'delete',
        'pod',
        '-l',
        'app=istiod',
        '--force',
        '--wait=false',
      ])),
}

export const apiServerAway: Fault = {
  name: `API server away for ${awaySeconds} s`,
  post: true,
  arm: async () => {
    const pid = await pidOf('kube-apiserver')
    return () => paused(pid, awaySeconds)
  },
}

/** Nobody can put the traffic back before the API server is there again. */
export const sigkillWhileAway: Fault = {
  name: `SIGKILL, API server away for ${awaySeconds} s`,
  limitSeconds: awaySeconds + limitSeconds,
  post: false,
  arm: async () => {
    const pid = await pidOf('kube-apiserver')
    return ({ kill }) => (kill('SIGKILL'), paused(pid, awaySeconds))
  },
}

/** After each of the earlier kills, so that istiod watches again before the next. */
const pausesSeconds = [10, 15, 25]

/**
 * Whoever watches the API server waits longer after each failure (0.8 s at first, 30 to 60 s at last), and forgets that
 * only after two quiet minutes: istiod may hear of what is written after the last of several kills as late as that.
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

/** The supervisor starts again what has ended. */
async function killing(component: string): Promise<Strike> {
  const pid = await pidOf(component)
  return () => void process.kill(pid, 'SIGKILL')
}

/** As GitHub's runner cancels: it insists after 7.5 s, and kills after 2.5 s more. */
async function cancel({ kill, ended }: Victim): Promise<void> {
  const waiting = new AbortController()
  const later = async () => {
    await sleep(7_500, undefined, waiting)
    kill('SIGTERM')
    await sleep(2_500, undefined, waiting)
    kill('SIGKILL')
  }
  kill('SIGINT')
  await Promise.race([ended, later().catch(() => undefined)])
  waiting.abort()
}

async function pidOf(component: string): Promise<number> {
  const pid = (await status())?.components.find(({ name }) => name === component)?.pid ?? 0
  if (pid === 0) throw new Error(`${component} does not run; see \`npm run mesh -- status\``)
  return pid
}

/** By a process of its own, so that it goes on even when this one is ended meanwhile. */
async function paused(pid: number, seconds: number): Promise<void> {
  const child = spawn('sh', ['-c', 'kill -STOP "$0"; sleep "$1"; kill -CONT "$0"', `${pid}`, `${seconds}`], {
    detached: true,
    stdio: 'ignore',
  })
  await once(child, 'close')
}

export async function allWell(): Promise<void> {
  await until(
    'the cluster is not well again',
    async () => (await status())?.components.every(({ healthy }) => healthy) ?? false,
  )
}

export async function until(otherwise: string, isSo: () => Promise<boolean>): Promise<void> {
  for (const from = Date.now(); !(await isSo()); await sleep(200)) {
    if (Date.now() - from > 60_000) throw new Error(`${otherwise}, after 60 s`)
  }
}
