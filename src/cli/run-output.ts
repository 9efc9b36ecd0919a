// Where a run writes its results: files, and the last lines on the screen.
import { resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { outputsOf } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { prepareFile, writeText } from '../report/write.ts'
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
  const faults = paths.flatMap(([name, file]) => {
    const fault = prepareFile(file)
    return fault === undefined ? [] : [`--${name}: ${fault}`]
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return Object.fromEntries(paths)
}

/** Writes what it can. Returns false if a file could not be written. */
export function publish(report: Report, files: Files, output: OutputOptions['output'], lines: Terminal): boolean {
  const json = `${JSON.stringify(report, null, 2)}\n`
  const outputs = outputsOf(report, files.report)
  const texts: Record<FileName, () => string> = {
    report: () => json,
    outputs: () => dotenv(outputs),
    summary: () => summary(report),
    junit: () => junit(report),
  }
  if (output === 'json') process.stdout.write(json)
  const faults = (Object.entries(files) as [FileName, string][]).flatMap(([name, file]) => {
    const fault = writeText(file, texts[name]())
    return fault === undefined ? [] : [`--${name}: ${fault}`]
  })
  printResult(report, outputs['changed'], lines)
  faults.forEach(lines.error)
  return faults.length === 0
}

function printResult(report: Report, changed: string | number | boolean | undefined, lines: Terminal): void {
  if (report.error !== undefined) return lines.error(report.error)
  const place = (cluster: string | undefined) => (cluster === undefined ? '' : `${cluster}: `)
  for (const { service, canary, verdict, reason, cluster } of report.promotions)
    lines.success(`${place(cluster)}${canary} of ${service}: ${verdict}: ${reason}`)
  for (const { name, verdict, reason, cluster } of report.experiments ?? [])
    lines.success(`${place(cluster)}${name}: ${verdict}: ${reason}`)
  lines.success(`done in ${report.seconds.toFixed(1)} s${changeCount(report, changed)}`)
}

/** Nothing for a report that only rendered the objects, without a cluster. */
function changeCount({ rendered, dryRun }: Report, changed: string | number | boolean | undefined): string {
  if (rendered !== undefined) return ''
  return `: ${String(changed)} ${dryRun ? 'would be changed' : 'changed'}`
}
