// Where a run writes its results: files, and the last lines on the screen.
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { outputsOf } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { dotenv } from './dotenv.ts'
import { junit } from './junit.ts'
import type { OutputOptions } from './output-options.ts'
import type { Terminal } from './terminal.ts'

type FileName = 'report' | 'outputs' | 'summary' | 'junit'
type Files = Partial<Record<FileName, string>>

/**
 * Absolute paths of the given files, whose folders exist afterwards.
 * This is checked before the run, so that a successful promotion does not fail because of its report.
 * @throws ConfigError when a file cannot be written
 */
export function checkWritable(files: { [name in FileName]?: string | undefined }): Files {
  const paths = Object.entries(files).flatMap(([name, file]): [string, string][] =>
    file === undefined ? [] : [[name, resolve(file)]],
  )
  for (const [name, file] of paths) {
    try {
      mkdirSync(dirname(file), { recursive: true })
      accessSync(dirname(file), constants.W_OK)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      throw new ConfigError(`--${name}: ${file} cannot be written (${code}); choose a path in a folder that you own`)
    }
  }
  return Object.fromEntries(paths)
}

export function publish(report: Report, files: Files, output: OutputOptions['output'], lines: Terminal): void {
  const json = `${JSON.stringify(report, null, 2)}\n`
  const outputs = outputsOf(report, files.report)
  const texts: Record<FileName, () => string> = {
    report: () => json,
    outputs: () => dotenv(outputs),
    summary: () => summary(report),
    junit: () => junit(report),
  }
  if (output === 'json') process.stdout.write(json)
  for (const [name, file] of Object.entries(files) as [FileName, string][]) writeText(name, file, texts[name]())
  if (report.error !== undefined) return lines.error(report.error)
  for (const { service, canary, verdict, reason } of report.promotions)
    lines.success(`${canary} of ${service}: ${verdict}: ${reason}`)
  lines.success(`done in ${report.seconds.toFixed(1)} s${changeCount(report, outputs['changed'])}`)
}

/** @throws ConfigError when the file cannot be written. */
function writeText(name: FileName, file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new ConfigError(
      `--${name}: ${file} cannot be written (${(error as NodeJS.ErrnoException).code}); choose another path`,
    )
  }
}

/** Nothing for a report that only rendered the objects, without a cluster. */
function changeCount({ rendered, dryRun }: Report, changed: string | number | boolean | undefined): string {
  if (rendered !== undefined) return ''
  return `: ${String(changed)} ${dryRun ? 'would be changed' : 'changed'}`
}
