// One promotion as HTML: facts, the cause of a failure, charts, steps and checks. Pure.
import { inPercent } from './axis.ts'
import type { ChartSpec } from './chart-spec.ts'
import { html, nothing, type Markup } from './escape.ts'
import { chartPlaces, facts, table } from './parts.ts'
import { canaryName, promotionSentence, toneOf, verdictName } from '../headline.ts'
import type { PromotionReport, RequestTally, StepReport } from '../report.ts'

/** `isOneOfSeveral`: the page has no headline for it alone. */
export function promotionBody(report: PromotionReport, charts: ChartSpec[], isOneOfSeveral: boolean): Markup {
  const { steps, checks, diagnosis = [] } = report
  return html`${isOneOfSeveral && opening(report)}
${promotionFacts(report)}
${diagnosis.map(cause)}
${steps.length > 0 && charts.length === 0 && html`<p class="muted">The report has no samples to draw.</p>`}
${chartPlaces(charts)}
${steps.length > 0 && html`<h3>Steps</h3>${stepTable(report)}`}
${checks.length > 0 && html`<h3>Checks</h3>${checkTable(report)}`}`
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
    ['verdict of the controller', engineVerdict],
    ['weight at the end', `${weight}%`],
    ['requests to the canary', String(requestsObserved)],
    ['requests of users', String(total)],
    ["users' failures", total > 0 ? `${failed} (${inPercent(failed / total)}%)` : String(failed)],
    ['decided after', secondsToDetect === undefined ? undefined : `${secondsToDetect.toFixed(1)} s`],
    ['last request after weight 0', secondsToSafe === undefined ? undefined : `${secondsToSafe.toFixed(1)} s`],
  ])
}

/** What a person would look up. */
function cause({ pod, container, cause, events, log }: NonNullable<PromotionReport['diagnosis']>[number]): Markup {
  const last = [...events, ...log]
  if (last.length === 0 && cause === undefined) return nothing
  return html`<h3>Last of ${pod} (${container})</h3>
${cause !== undefined && html`<p>${cause}</p>`}
${last.length > 0 && html`<pre>${last.join('\n')}</pre>`}`
}

function stepTable({ steps, canary, stable }: PromotionReport): Markup {
  const heads = ['Weight', 'From', 'Lasted', `${canary}: requests`, 'succeeded', `${stable}: requests`, 'succeeded']
  return table(
    'Steps',
    [...heads, 'Observed share', 'Outcome'],
    steps.map((step) => [
      stepName(step),
      `${step.startSeconds.toFixed(0)} s`,
      `${step.seconds.toFixed(1)} s`,
      step.canary.requests,
      successRate(step.canary),
      step.stable.requests,
      successRate(step.stable),
      observedShare(step),
      step.outcome,
    ]),
  )
}

function stepName({ kind, weight }: StepReport): string {
  if (kind === 'weight') return `${weight}%`
  return kind === 'mirror' ? `copies of ${weight}%` : 'those that match'
}

function successRate({ requests, failures }: RequestTally): string {
  return requests === 0 ? '–' : `${inPercent((requests - failures) / requests)}%`
}

function observedShare({ split, weight }: StepReport): string {
  if (!split) return '–'
  return `${split.observed}% (${split.low} to ${split.high})${split.fits ? '' : `, not ${weight}%`}`
}

/** E measures the strength of the evidence: 1 is none. The parts against the canary add up. */
function checkTable({ checks, canary, stable }: PromotionReport): Markup {
  const e = (value: number) => (value >= 1_000 ? value.toExponential(1) : String(Number(value.toFixed(2))))
  const sum = checks.reduce((total, { failEvidence }) => total + failEvidence, 0)
  return html`${table(
    'Checks',
    ['Check', canary, stable, 'Evidence against', 'Evidence for', 'Verdict'],
    checks.map(({ check, canary, stable, failEvidence, failThreshold, passEvidence, passThreshold, verdict }) => [
      check,
      `${canary.violations} of ${canary.requests}`,
      `${stable.violations} of ${stable.requests}`,
      `${e(failEvidence)} of ${e(failThreshold)}`,
      `${e(passEvidence)} of ${e(passThreshold)}`,
      verdict,
    ]),
  )}
<p class="muted">Evidence of 1 says nothing. The parts against the canary add up, here to ${e(sum)}; at the limit it fails.</p>`
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
