// The host of a run from the command line: signals, secrets, and what the post step needs.
import { dirname } from 'node:path'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import { progressView } from '../canary/state/progress-view.ts'
import type { Config } from '../config/schema.ts'
import type { FleetHost } from '../fleet/run-fleet.ts'
import { recordFleetPostState } from '../fleet/post-state.ts'
import type { PostState } from '../post.ts'
import { withCluster } from '../runtime/cluster-text.ts'
import { readGuardProgram, runName, tempDir } from '../runtime/environment.ts'
import { createRedactor } from '../runtime/redaction.ts'
import { abortOnSignals } from '../runtime/signals.ts'
import { progressLines } from './progress-lines.ts'
import type { LiveTerminal } from './terminal.ts'

export type RunHost = {
  host: FleetHost
  postState: () => PostState
  redact: (text: string) => string
  /** The signal that cancelled the run, if any. */
  stoppedBy: () => NodeJS.Signals | undefined
}

/** npm passes a Ctrl-C on to its child, which also gets it from the terminal. Within this time, both are the same. */
const duplicateSignalMs = 1_000

/**
 * The first signal cancels the run. A second Ctrl-C calls `exitNow`.
 * A second SIGTERM does not, because the systems that send it kill the process some time later anyway.
 */
export function createRunHost(
  config: Config,
  { info, warning, group, live, isLive }: LiveTerminal,
  exitNow: (signal: NodeJS.Signals) => never,
): RunHost {
  let postState: PostState = {}
  let stopped: { by: NodeJS.Signals; at: number } | undefined
  const redactor = createRedactor()
  const { onCancel, ...postHooks } = recordFleetPostState(config, (state) => (postState = state))
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopped === undefined) {
      stopped = { by: signal, at: Date.now() }
      // What it shows is of the last poll, and there may be no other.
      live([])
      warning(stopping(signal))
      onCancel()
    } else if (signal === 'SIGINT' && Date.now() - stopped.at > duplicateSignalMs) {
      warning(exitingNow)
      exitNow(stopped.by)
    }
  }
  return {
    host: {
      signal: abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], onSignal),
      tempDir: tempDir(),
      // The temporary folder is gone when the command ends.
      outputFolder: config.report === undefined ? '.' : dirname(config.report),
      runName: runName(),
      readGuardProgram,
      info,
      warning,
      group,
      ...(isLive ? { onProgress: (promotions) => live(liveLines(promotions, redactor.redact)) } : {}),
      mask: (secret) => redactor.learn([secret]),
      onIstioctl: () => undefined,
      ...postHooks,
    },
    postState: () => postState,
    redact: redactor.redact,
    stoppedBy: () => stopped?.by,
  }
}

/** Nothing once all have ended: the log says how. */
function liveLines(promotions: PromotionProgress[], redact: (line: string) => string): string[] {
  if (promotions.every(({ state }) => state.phase === 'ended')) return []
  const now = Date.now()
  return promotions
    .flatMap(({ cluster, plan, state, where }) => {
      const [first = '', ...rest] = progressLines(progressView(plan, state, now), where)
      return [withCluster(cluster, first), ...rest]
    })
    .map(redact)
}

function stopping(signal: NodeJS.Signals): string {
  const hint = signal === 'SIGINT' ? '; press Ctrl-C again to exit immediately' : ''
  return `stopping (${signal}): bringing the run to a safe end${hint}`
}

const exitingNow =
  'exiting immediately: the guard in the cluster rolls back a promotion in progress; ' +
  'without a guard, run `mesh-canary rollback`'
