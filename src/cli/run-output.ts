// Where a run writes its results: files, and the last lines on the screen.
import { resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { outputsOf } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { faultOfHtmlPath, writeHtml } from '../report/write-html.ts'
import { prepareFile, writeText } from '../report/write.ts'
import { dotenv } from './dotenv.ts'
import { junit } from './junit.ts'
import type { OutputOptions } from './output-options.ts'
import type { Terminal } from './terminal.ts'

type FileName = 'report' | 'outputs' | 'summary' | 'junit'
type Files = Partial<Record<FileName | 'html-report', string>>

/**
 * Absolute paths of the given files, whose folders exist afterwards.
 * This is checked before the run, so that a successful promotion does not fail because of its report.
 * @throws ConfigError when a file cannot be written
 */
export function checkWritable(files: { [name in keyof Files]?: string | undefined }): Files {
  const paths = Object.entries(files).flatMap(([name, file]): [string, string][] =>
    file === undefined ? [] : [[name, resolve(file)]],
  )
  const faults = paths.flatMap(([name, file]) => {
    const fault = name === 'html-report' ? faultOfHtmlPath(file, othersOf(files)) : prepareFile(file)
    return fault === undefined ? [] : [`--${name}: ${fault}`]
  })
  if (faults.length > 0) throw new ConfigError(faults.join('\n'))
  return Object.fromEntries(paths)
}

function othersOf({ report, outputs, summary, junit }: { [name in keyof Files]?: string | undefined }) {
  return { 'the JSON report': report, '--outputs': outputs, '--summary': summary, '--junit': junit }
}

/** Writes what it can. Returns false if a file could not be written, other than the HTML report. */
export async function publish(
  report: Report,
  files: Files,
  output: OutputOptions['output'],
  lines: Terminal,
): Promise<boolean> {
  const json = `${JSON.stringify(report, null, 2)}\n`
  const { 'html-report': html, ...others } = files
  const htmlFault = html === undefined ? undefined : await writeHtml(html, report)
  const paths = { json: files.report, html: htmlFault === undefined ? html : undefined }
  const outputs = outputsOf(report, paths)
  const texts: Record<FileName, () => string> = {
    report: () => json,
    outputs: () => dotenv(outputs),
    summary: () => summary(report, paths),
    junit: () => junit(report),
  }
  if (output === 'json') process.stdout.write(json)
  const faults = (Object.entries(others) as [FileName, string][]).flatMap(([name, file]) => {
    const fault = writeText(file, texts[name]())
    return fault === undefined ? [] : [`--${name}: ${fault}`]
  })
  printResult(report, outputs['changed'], lines)
  if (htmlFault !== undefined) lines.warning(htmlFault)
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
