// What every host of a run has, GitHub's runner and the command line alike: a temporary folder, signals, the run's name, what a run leaves to be finished.
import { readFileSync, realpathSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { RecoveryIntent } from '../canary/promote.ts'
import { canariesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import type { LeftCluster } from '../kind/kind.ts'
import { messageOf } from './errors.ts'
import type { Host } from '../stages/context.ts'

export function tempDir(): string {
  return process.env['RUNNER_TEMP'] ?? tmpdir()
}

/** The guard's bundle lies beside the program's; `npx` starts that by a link. */
export function readGuardProgram(): string {
  return readFileSync(join(dirname(realpathSync(process.argv[1]!)), 'guard.mjs'), 'utf8')
}

/** The address under which a person finds this run, as GitHub, GitLab, Jenkins or CircleCI gives it; elsewhere its name. */
export function runName(env: NodeJS.ProcessEnv = process.env): string {
  const {
    GITHUB_SERVER_URL: server,
    GITHUB_REPOSITORY: repository,
    GITHUB_RUN_ID: id,
    GITHUB_RUN_ATTEMPT: attempt = '1',
  } = env
  if (server && repository && id) return `${server}/${repository}/actions/runs/${id}/attempts/${attempt}`
  return env['CI_JOB_URL'] || env['BUILD_URL'] || env['CIRCLE_BUILD_URL'] || `process ${process.pid} on ${hostname()}`
}

/** Aborted by the first of these signals; `told` hears of each of them, before that. */
export function abortOnSignals(signals: NodeJS.Signals[], told: (signal: NodeJS.Signals) => void): AbortSignal {
  const controller = new AbortController()
  for (const signal of signals) {
    process.on(signal, () => {
      told(signal)
      controller.abort(new Error('the run was cancelled'))
    })
  }
  return controller.signal
}

/** What a run leaves to be finished, as soon as it is known: it may be killed at any moment. `held`: it was cancelled, and what it moved is to stay. */
export type PostState = {
  temporaryFile?: string
  kubeconfig?: string
  context?: string
  intents?: RecoveryIntent[]
  held?: boolean
  kind?: LeftCluster
}

/** The parts of a host that learn what a run leaves; `keep` is given all of it at each change. `cancel` is to be told when the run is cancelled. */
export function recordPostState(
  config: Config,
  keep: (left: PostState) => void,
): Pick<Host, 'connected' | 'kind' | 'intent'> & { cancel: () => void } {
  const left: PostState = { ...(config.context === undefined ? {} : { context: config.context }) }
  const leave = (more: PostState) => keep(Object.assign(left, more))
  const hold = canariesOf(config).every(({ onCancel }) => onCancel === 'hold')
  return {
    cancel: () => void (hold && leave({ held: true })),
    connected: ({ temporaryFile }) => {
      const kubeconfig = temporaryFile ?? config.kubeconfig
      leave({
        ...(temporaryFile === undefined ? {} : { temporaryFile }),
        ...(kubeconfig === undefined ? {} : { kubeconfig }),
      })
    },
    kind: (kind) => leave({ kind }),
    intent: (intents) => leave({ intents }),
  }
}

/** Finishes what a run could not, and removes what it wrote and made. Answers a sentence for each thing done; rejects with what could not be: the services whose traffic is not back, the cluster that could not be deleted. */
export async function finishRun(left: PostState, info: (line: string) => void): Promise<string[]> {
  const { kind, temporaryFile = kind?.kubeconfig } = left
  const problems: string[] = []
  const told = await putBack(left, info).catch((error: unknown) => void problems.push(messageOf(error)))
  if (kind?.remove) await removeKind(kind, info).catch((error: unknown) => void problems.push(messageOf(error)))
  if (temporaryFile) rmSync(dirname(temporaryFile), { recursive: true, force: true })
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return told ?? []
}

async function putBack(
  { intents = [], held = false, kubeconfig, context }: PostState,
  info: (line: string) => void,
): Promise<string[]> {
  if (intents.length === 0) return []
  try {
    const { finishFor } = await import('../run.ts')
    return (await finishFor(intents, held, { kubeconfig, context, tempDir: tempDir(), info })).map(
      (line) => `the run ended in the middle of a promotion: ${line}`,
    )
  } catch (error) {
    throw new Error(
      `the run ended in the middle of a promotion, and the traffic of ${intents.map(({ split }) => split.service).join(', ')} is not back at stable: ${messageOf(error)}`,
    )
  }
}

async function removeKind(kind: LeftCluster, info: (line: string) => void): Promise<void> {
  const { removeCluster } = await import('../stages/cluster.ts')
  await removeCluster(kind, info)
  info(`the kind cluster ${kind.name}: deleted`)
}
