// Writes the HTML report. What draws it is loaded only here, because most runs write none.
import { resolve } from 'node:path'
import { messageOf } from '../runtime/errors.ts'
import type { Report } from './report.ts'
import type { SimulationReport } from './simulation-report.ts'
import { prepareFile, writeText } from './write.ts'

/** Returns why it was not written, as one sentence; else undefined. Never rejects: no verdict depends on it. */
export async function writeHtml(file: string, report: Report | SimulationReport): Promise<string | undefined> {
  try {
    const { htmlPage } = await import('./html/page.ts')
    const fault = writeText(file, htmlPage(report))
    return fault === undefined ? undefined : `the HTML report ${fault}`
  } catch (problem) {
    return `the HTML report was not written: ${messageOf(problem)}`
  }
}

/**
 * Why the HTML report cannot go there, as the end of a sentence; else undefined. `others`: the paths of other files, by
 * what they are.
 */
export function faultOfHtmlPath(
  html: string | undefined,
  others: Record<string, string | undefined>,
): string | undefined {
  if (html === undefined) return undefined
  const [what] = Object.entries(others).find(([, file]) => file !== undefined && resolve(html) === resolve(file)) ?? []
  return what === undefined
    ? prepareFile(html)
    : `${html} is the path of ${what}, too; choose another one, such as mesh-report.html`
}
