// Publishes the report of a run on GitHub: outputs, files and annotations. Each is written whatever happens to the
// others, and the outputs come first, because the pipeline branches on them.
import * as core from '@actions/core'
import { verdictName } from '../report/headline.ts'
import { outputsOf, type ReportFiles } from '../report/outputs.ts'
import { worstPromotion, type Report } from '../report/report.ts'
import { summary } from '../report/summary.ts'
import { writeHtml } from '../report/write-html.ts'
import { writeText } from '../report/write.ts'
import { withCluster } from '../runtime/cluster-text.ts'
import { messageOf } from '../runtime/errors.ts'

/** `file`: the path of the JSON report. Returns the files that were written. */
export async function publish(report: Report, file: string, htmlFile?: string): Promise<ReportFiles> {
  for (const [name, value] of Object.entries(outputsOf(report, {}))) setOutput(name, value)
  const fault = writeText(file, `${JSON.stringify(report, null, 2)}\n`)
  if (fault === undefined) setOutput('report', file)
  else fail(`report: ${fault}`, 'Report')
  const html = htmlFile === undefined ? undefined : await publishHtml(report, htmlFile)
  const files = { json: fault === undefined ? file : undefined, html }
  writeSummary(report, files)
  annotate(report)
  return files
}

/** Returns the file if it was written. That it was not is no reason to fail. */
async function publishHtml(report: Report, file: string): Promise<string | undefined> {
  const fault = await writeHtml(file, report)
  if (fault === undefined) setOutput('html-report', file)
  else core.warning(fault, { title: 'Report' })
  return fault === undefined ? file : undefined
}

function setOutput(name: string, value: string | number | boolean): void {
  try {
    core.setOutput(name, value)
  } catch (error) {
    fail(`the output ${name} cannot be set: ${messageOf(error)}`, 'Outputs')
  }
}

function writeSummary(report: Report, files: ReportFiles): void {
  const file = process.env['GITHUB_STEP_SUMMARY']
  const fault = file ? writeText(file, summary(report, files), 'a') : undefined
  if (fault !== undefined) core.warning(`the job summary ${fault}`, { title: 'Summary' })
}

function annotate({ error, promotions }: Report): void {
  if (error !== undefined) fail(error, verdictName(worstPromotion(promotions)?.verdict ?? 'Failed'))
  else
    for (const { cluster, canary, verdict, reason } of promotions)
      core.notice(reason, { title: withCluster(cluster, `${canary}: ${verdictName(verdict)}`) })
}

/** One annotation a sentence; the step fails. */
export function fail(message: string, title: string): void {
  for (const line of message.split('\n')) core.error(line, { title })
  process.exitCode = 1
}
