// A run from the command line, from its config to its exit code: what the action's main and post steps do, in one process.
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { constants as system } from 'node:os'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import type { Config } from '../config/schema.ts'
import { recordPostState, runPost, type PostState } from '../post.ts'
import { readGuardProgram, runName, tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { outputsOf } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { run } from '../run.ts'
import { debugStack, defectMessage } from '../runtime/defect.ts'
import { createRedactor } from '../runtime/redaction.ts'
import { abortOnSignals } from '../runtime/signals.ts'
import type { Host } from '../stages/context.ts'
import { dotenv } from './dotenv.ts'
import { junit } from './junit.ts'
import type { OutputOptions } from './program.ts'
import { terminal, type Terminal } from './terminal.ts'
import { createTempDir } from './temp-dir.ts'

/** Answers the exit code. @throws ConfigError when a file that it is to write cannot be written. */
export async function runCommand(config: Config, telling: OutputOptions): Promise<number> {
  const files = writable({
    report: config.report,
    outputs: telling.outputs,
    summary: telling.summary,
    junit: telling.junit,
  })
  const shown = terminal(telling.output === 'json' ? process.stderr : process.stdout, process.env)
  createTempDir()
  const started = start(config, shown)
  // What nobody caught ends the run as well, but not before the traffic is safe.
  const crashed = new Promise<never>((_, reject) => process.once('uncaughtException', reject))
  let code = 1
  try {
    const report = await Promise.race([run(config, started.host), crashed])
    publish(report, files, telling, shown)
    code = exitCode(report, started.stoppedBy())
  } catch (error) {
    shown.error(started.hide(defectMessage(error)))
    const stack = debugStack(error)
    if (stack !== '') shown.info(started.hide(stack))
  }
  return (await end(started, shown)) ? code : code || 1
}

type Files = Partial<Record<'report' | 'outputs' | 'summary' | 'junit', string>>

/** A promotion that went well is not to fail for its report's folder. */
function writable(files: Record<keyof Files, string | undefined>): Files {
  const given = Object.entries(files).flatMap(([name, file]): [string, string][] =>
    file === undefined ? [] : [[name, resolve(file)]],
  )
  for (const [name, file] of given) {
    try {
      mkdirSync(dirname(file), { recursive: true })
      accessSync(dirname(file), constants.W_OK)
    } catch (error) {
      throw new ConfigError(
        `--${name}: ${file} cannot be written (${(error as NodeJS.ErrnoException).code}); give a path in a folder of yours`,
      )
    }
  }
  return Object.fromEntries(given)
}

type Started = {
  host: Host
  left: () => PostState
  hide: (text: string) => string
  stoppedBy: () => NodeJS.Signals | undefined
}

/** The host of one run. A second Ctrl-C leaves at once; SIGTERM does not, for the systems that send it kill a while after. */
function start(config: Config, { info, warning, group }: Terminal): Started {
  let [left, stoppedBy, at]: [PostState, NodeJS.Signals | undefined, number] = [{}, undefined, 0]
  const redactor = createRedactor()
  const { onCancel, ...postHooks } = recordPostState(config, (now) => (left = now))
  const stop = (signal: NodeJS.Signals) => {
    // npm passes on to its child what the terminal has sent to both: within a second it is the same one.
    if (stoppedBy !== undefined && signal === 'SIGINT' && Date.now() - at > 1_000) leave(stoppedBy, warning)
    if (stoppedBy !== undefined) return
    ;[stoppedBy, at] = [signal, Date.now()]
    warning(
      `stopping (${signal}): what is under way is brought to a safe end${signal === 'SIGINT' ? '; press Ctrl-C again to leave at once' : ''}`,
    )
    onCancel()
  }
  return {
    host: {
      signal: abortOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], stop),
      tempDir: tempDir(),
      runName: runName(),
      readGuardProgram,
      info,
      warning,
      group,
      mask: (secret) => redactor.learn([secret]),
      onIstioctl: () => undefined,
      ...postHooks,
    },
    left: () => left,
    hide: redactor.redact,
    stoppedBy: () => stoppedBy,
  }
}

function leave(signal: NodeJS.Signals, warning: Terminal['warning']): never {
  warning(
    'left at once: a promotion that was under way is put back by its guard in the cluster; without one, run `mesh-canary rollback`',
  )
  process.exit(codeOf(signal))
}

/** What the action's post step does. Answers whether all is as it should be. */
async function end({ left, hide }: Started, { info, warning, error }: Terminal): Promise<boolean> {
  try {
    for (const line of await runPost(left(), (line) => info(hide(line)))) warning(hide(line))
    return true
  } catch (failure) {
    error(hide(messageOf(failure)))
    return false
  }
}

function publish(report: Report, files: Files, { output }: OutputOptions, shown: Terminal): void {
  const json = `${JSON.stringify(report, null, 2)}\n`
  const outputs = outputsOf(report, files.report)
  const texts: Record<keyof Files, () => string> = {
    report: () => json,
    outputs: () => dotenv(outputs),
    summary: () => summary(report),
    junit: () => junit(report),
  }
  for (const [name, file] of Object.entries(files) as [keyof Files, string][]) writeFileSync(file, texts[name]())
  if (output === 'json') process.stdout.write(json)
  if (report.error !== undefined) return shown.error(report.error)
  for (const { service, canary, verdict, reason } of report.promotions)
    shown.success(`${canary} of ${service}: ${verdict}: ${reason}`)
  const count =
    report.rendered === undefined
      ? `: ${String(outputs['changed'])} ${report.dryRun ? 'would be changed' : 'changed'}`
      : ''
  shown.success(`done in ${report.seconds.toFixed(1)} s${count}`)
}

/** Refused is what ends before, or at, the checks that precede every change. */
export function exitCode(
  { error, stages }: Pick<Report, 'error' | 'stages'>,
  stoppedBy: NodeJS.Signals | undefined,
): number {
  if (error === undefined) return 0
  if (stoppedBy !== undefined) return codeOf(stoppedBy)
  return stages.every(({ name }) => name === 'check') ? 2 : 1
}

/** As shells have it. */
function codeOf(signal: NodeJS.Signals): number {
  return 128 + system.signals[signal]
}
