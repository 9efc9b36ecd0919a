// Where a run writes its results: files, and the last lines on the screen.
import { resolve } from 'node:path'
import { ConfigError } from '../config/error.ts'
import { countChanges } from '../report/count-changes.ts'
import { experimentTone, toneOf, verdictName, workText, type Headline } from '../report/headline.ts'
import { outputsOf, type ReportFiles } from '../report/outputs.ts'
import type { Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { faultOfHtmlPath, writeHtml } from '../report/write-html.ts'
import { prepareFile, writeText } from '../report/write.ts'
import { withCluster } from '../runtime/cluster-text.ts'
import { plural } from '../runtime/plural.ts'
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

/**
 * Writes what it can. `written`: the reports that are there. `isComplete`: every file could be written, other than the
 * HTML report.
 */
export async function writeResults(
  report: Report,
  files: Files,
  output: OutputOptions['output'],
  lines: Terminal,
): Promise<{ written: ReportFiles; isComplete: boolean }> {
  const json = `${JSON.stringify(report, null, 2)}\n`
  if (output === 'json') process.stdout.write(asText(json))
  const faults: string[] = []
  const write = (name: FileName, text: () => string): string | undefined => {
    const file = files[name]
    const fault = file === undefined ? undefined : writeText(file, text())
    if (fault === undefined) return file
    faults.push(`--${name}: ${fault}`)
    return undefined
  }
  const { 'html-report': html } = files
  const htmlFault = html === undefined ? undefined : await writeHtml(html, report)
  // Before the others, which name those that were written.
  const written = { json: write('report', () => json), html: htmlFault === undefined ? html : undefined }
  write('outputs', () => dotenv(outputsOf(report, written)))
  write('summary', () => summary(report, written))
  write('junit', () => junit(report))
  printResult(report, lines)
  if (htmlFault !== undefined) lines.warning(htmlFault)
  faults.forEach(lines.error)
  return { written, isComplete: faults.length === 0 }
}

/** The same JSON, in which no text of a pod is a command of GitHub's runner or of a terminal. */
function asText(json: string): string {
  return json
    .replaceAll('##[', '##\\u005b')
    .replace(/[\u007f-\u009f\u2028\u2029]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function printResult(report: Report, { error, success, info }: Terminal): void {
  if (report.error !== undefined) return error(report.error)
  const print = (tone: Headline['tone'], line: string) => (tone === 'good' ? success : info)(line)
  for (const promotion of report.promotions) {
    const { cluster, service, canary, verdict, reason } = promotion
    print(toneOf(promotion), withCluster(cluster, `${canary} of ${service}: ${verdictName(verdict)}: ${reason}`))
  }
  for (const experiment of report.experiments ?? []) {
    const { cluster, name, verdict, reason } = experiment
    print(experimentTone(experiment), withCluster(cluster, `${name}: ${verdict}: ${reason}`))
  }
  if (report.promotions.length === 0 && report.verdict !== undefined)
    print('open', `${verdictName(report.verdict)}: ${report.reason}`)
  success(`done in ${report.seconds.toFixed(1)} s${workDone(report)}`)
}

/** Nothing for a report that only rendered the objects, and beside a verdict, nothing without a change. */
function workDone(report: Report): string {
  const { rendered, dryRun, promotions, experiments = [], clusters = [] } = report
  const count = countChanges(report)
  const hasVerdict = promotions.length + experiments.length > 0
  if (rendered !== undefined || (hasVerdict && count === 0)) return ''
  if (dryRun) return count === 0 ? ': nothing would change' : `: ${plural(count, 'change')} would be made`
  if (clusters.length === 0) return `: ${workText(report)}`
  return `: ${clusters.map(({ name, report }) => withCluster(name, workText(report))).join('; ')}`
}
