// The run on GitHub: inputs from the runner, lines in its log, state for the post step.
import { join } from 'node:path'
import * as core from '@actions/core'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { recordFleetPostState, runPost } from '../post.ts'
import { readGuardProgram, runName, tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { abortOnSignals } from '../runtime/signals.ts'
import type { FleetHost } from '../fleet/run-fleet.ts'
import { postStateSaver, readPostState } from './post-state.ts'
import { fail, publish } from './publish.ts'

/** The main step, or the post step if main has run before. */
export async function action(): Promise<void> {
  await (core.getState('main') === '' ? main() : postStep())
}

async function main(): Promise<void> {
  core.saveState('main', 'begun')
  const config = load()
  if (!config) return
  // Only now: most of the program need not be loaded to say that an input is wrong.
  const { runFleet } = await import('../fleet/run-fleet.ts')
  const report = await runFleet(config, host(config))
  publish(report, config.report ?? join(tempDir(), 'mesh-canary-report.json'))
}

function load(): Config | undefined {
  try {
    return loadConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    fail(error.message, 'Input')
    return undefined
  }
}

function host(config: Config): FleetHost {
  const { onCancel, ...postHooks } = recordFleetPostState(config, postStateSaver(tempDir()))
  return {
    // The runner asks with SIGINT, insists with SIGTERM 7.5 s later, and kills 2.5 s after that.
    signal: abortOnSignals(['SIGINT', 'SIGTERM'], onCancel),
    tempDir: tempDir(),
    outputFolder: tempDir(),
    runName: runName(),
    readGuardProgram,
    info: (line) => core.info(withoutRunnerCommands(line)),
    warning: core.warning,
    group: core.group,
    mask: core.setSecret,
    onIstioctl: ({ folder }) => core.addPath(folder),
    ...postHooks,
  }
}

/**
 * Log lines hold what pods, events and webhooks say. The runner takes `::name::` at the start of a line for a command,
 * and `##[name]` anywhere in it (and for white space what .NET does, U+0085 too): with a character of no width inside,
 * both are only text.
 */
export function withoutRunnerCommands(text: string): string {
  return text.replace(/(^|[\r\n])([\s\u0085]*):(?=:)/g, '$1$2:\u200b').replace(/##(?=\[)/g, '#\u200b#')
}

/** Finishes what main could not, and removes what main wrote. */
async function postStep(): Promise<void> {
  try {
    for (const line of await runPost(readPostState(), (line) => core.info(withoutRunnerCommands(line))))
      core.warning(line)
  } catch (error) {
    fail(messageOf(error), 'Rollback')
  }
}
