// One promotion as HTML: facts, the cause of a failure, charts, steps and checks. Pure.
import { percent } from '../../statistics/percent.ts'
import type { ChartSpec } from './chart-spec.ts'
import { html, nothing, type Markup } from './escape.ts'
import { chartPlaces, facts, table } from './parts.ts'
import { canaryName, promotionSentence, toneOf, verdictName } from '../headline.ts'
import { checkTable, diagnosisTitle, evidenceNote, stepTable, type TextTable } from '../promotion-tables.ts'
import type { PromotionReport } from '../report.ts'

/** `isOneOfSeveral`: the page has no headline for it alone. */
export function promotionBody(report: PromotionReport, charts: ChartSpec[], isOneOfSeveral: boolean): Markup {
  const { steps, checks, diagnosis = [] } = report
  return html`${isOneOfSeveral && opening(report)}
${promotionFacts(report)}
${diagnosis.map(cause)}
${steps.length > 0 && charts.length === 0 && html`<p class="muted">The report has no samples to draw.</p>`}
${chartPlaces(charts)}
${steps.length > 0 && textTable('Steps', stepTable(report))}
${checks.length > 0 && html`${textTable('Checks', checkTable(report))}<p class="muted">${evidenceNote(report)}</p>`}`
}

function opening(report: PromotionReport): Markup {
  return html`<p class="verdict ${toneOf(report)}">${verdictName(report.verdict)}</p>
<p>${promotionSentence(report)}: ${report.reason}</p>`
}

function promotionFacts(report: PromotionReport): Markup {
  const { requestsObserved, userRequests, secondsToDetect, secondsToSafe, stable, canary, weight, engineVerdict } =
    report
  const { total, failed } = userRequests
  return facts([
    ['canary', `${canary} beside ${stable}`],
    ['verdict of the controller', engineVerdict && verdictName(engineVerdict)],
    ['weight at the end', `${weight}%`],
    ['requests to the canary', String(requestsObserved)],
    ['requests of users', String(total)],
    ["users' failures", total > 0 ? `${failed} (${percent(failed / total)})` : String(failed)],
    ['decided after', secondsToDetect === undefined ? undefined : `${secondsToDetect.toFixed(1)} s`],
    ['last request ended after weight 0', secondsToSafe === undefined ? undefined : `${secondsToSafe.toFixed(1)} s`],
  ])
}

/** What a person would look up. */
function cause(diagnosis: NonNullable<PromotionReport['diagnosis']>[number]): Markup {
  const { cause, events, log } = diagnosis
  const last = [...events, ...log]
  if (last.length === 0 && cause === undefined) return nothing
  return html`<h3>${diagnosisTitle(diagnosis)}</h3>
${cause !== undefined && html`<p>${cause}</p>`}
${last.length > 0 && html`<pre>${last.join('\n')}</pre>`}`
}

function textTable(name: string, { heads, rows }: TextTable): Markup {
  return html`<h3>${name}</h3>${table(name, heads, rows)}`
}

/** The table of several promotions. `links`: the id of the section of each. */
export function overview(promotions: PromotionReport[], links: string[]): Markup {
  return table(
    'Canaries',
    ['Canary', 'Verdict', 'Weight', 'Requests', "Users' failures", 'Reason'],
    promotions.map((report, i) => [
      html`<a href="#${links[i]}">${canaryName(report)}</a>`,
      html`<span class="${toneOf(report)}">${verdictName(report.verdict)}</span>`,
      `${report.weight}%`,
      report.requestsObserved,
      `${report.userRequests.failed} of ${report.userRequests.total}`,
      report.reason,
    ]),
  )
}
