// A run from the command line: what the action's main and post steps do, in one process.
import { constants as system } from 'node:os'
import { ConfigError } from '../config/error.ts'
import type { Config } from '../config/schema.ts'
import { runFleet } from '../fleet/run-fleet.ts'
import { hasLeftTraffic, runPost } from '../post.ts'
import type { AfterRun } from '../report/after-run.ts'
import type { ReportFiles } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { debugStack, defectMessage } from '../runtime/defect.ts'
import { messageOf } from '../runtime/errors.ts'
import { writeNote } from './merge-request-note.ts'
import type { OutputOptions } from './output-options.ts'
import { createRunHost, type RunHost } from './run-host.ts'
import { checkWritable, writeResults } from './run-output.ts'
import { createTempDir } from './temp-dir.ts'
import { terminal, type Terminal } from './terminal.ts'

/** Returns the exit code. @throws ConfigError when a file that the run is to write cannot be written */
export async function runCommand(config: Config, options: OutputOptions): Promise<number> {
  const { output, ...files } = options
  const paths = checkWritable({ report: config.report, 'html-report': config.htmlReport, ...files })
  const lines = terminal(output === 'json' ? process.stderr : process.stdout, process.env)
  createTempDir()
  const runHost = createRunHost(config, lines, (signal) => process.exit(codeOf(signal)))
  // An uncaught exception also ends the run, but only after the traffic is safe.
  // `on`, because a second one must not end the process in the middle of that.
  const uncaught = new Promise<never>((_, reject) => process.on('uncaughtException', reject))
  let code = 1
  let results: { report: Report; written: ReportFiles } | undefined
  try {
    const report = await Promise.race([runFleet(config, runHost.host), uncaught]).finally(() => lines.live([]))
    const { written, isComplete } = await writeResults(report, paths, output, lines)
    results = { report, written }
    code = exitCode(report, runHost.stoppedBy()) || (isComplete ? 0 : 1)
  } catch (error) {
    const isForeseen = error instanceof ConfigError
    lines.error(runHost.redact(isForeseen ? error.message : defectMessage(error)))
    const stack = isForeseen ? '' : debugStack(error)
    if (stack !== '') lines.info(runHost.redact(stack))
  }
  const after = await runPostStep(runHost, lines)
  // Last, because the traffic must not wait for GitLab's API.
  if (results) await writeNote(config, { ...results, after }, process.env, lines)
  return after.isComplete ? code : code || 1
}

/** What the action's post step does. */
async function runPostStep(
  { postState, redact }: RunHost,
  { info, warning, error }: Terminal,
): Promise<AfterRun & { isComplete: boolean }> {
  try {
    const lines = (await runPost(postState(), (line) => info(redact(line)))).map(redact)
    lines.forEach(warning)
    return { lines, isTrafficUnsafe: false, isComplete: true }
  } catch (failure) {
    error(redact(messageOf(failure)))
    return { lines: [], isTrafficUnsafe: hasLeftTraffic(postState()), isComplete: false }
  }
}

/** 2 if the run was rejected: it ended in the checks that precede every change. */
export function exitCode(
  { error, stages }: Pick<Report, 'error' | 'stages'>,
  stoppedBy: NodeJS.Signals | undefined,
): number {
  if (error === undefined) return 0
  if (stoppedBy !== undefined) return codeOf(stoppedBy)
  return stages.every(({ name }) => name === 'check') ? 2 : 1
}

/** The exit code that shells use for a signal. */
function codeOf(signal: NodeJS.Signals): number {
  return 128 + system.signals[signal]
}
