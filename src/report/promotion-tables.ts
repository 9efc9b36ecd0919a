// What the tables of a promotion say, as text. The summary and the page only render it. Pure.
import type { LimitCounts } from '../canary/analysis/request-counts.ts'
import { evidenceText } from '../statistics/evidence.ts'
import { percent, successRate } from '../statistics/percent.ts'
import type { PromotionReport, RequestTally, StepReport } from './report.ts'

export type TextTable = { heads: string[]; rows: string[][] }

export function stepTable({ steps, canary, stable }: PromotionReport): TextTable {
  const versions = [`${canary}: requests`, 'succeeded', `${stable}: requests`, 'succeeded']
  return {
    heads: ['Weight', 'From (s)', 'Lasted (s)', ...versions, 'Observed share', 'Outcome'],
    rows: steps.map((step) => [
      weightText(step),
      step.startSeconds.toFixed(0),
      step.seconds.toFixed(1),
      ...servedTexts(step.canary),
      ...servedTexts(step.stable),
      observedShare(step),
      step.outcome,
    ]),
  }
}

function weightText({ kind, weight }: StepReport): string {
  if (kind === 'weight') return `${weight}%`
  return kind === 'mirror' ? `copies of ${weight}%` : 'requests that match'
}

function servedTexts(tally: RequestTally): string[] {
  const rate = successRate(tally)
  return [`${tally.requests}`, rate === undefined ? '–' : percent(rate)]
}

function observedShare({ split, weight }: StepReport): string {
  if (!split) return '–'
  return `${split.observed}% (${split.low} to ${split.high})${split.fits ? '' : `, not ${weight}%`}`
}

export function checkTable({ checks, canary, stable }: PromotionReport): TextTable {
  const counts = ({ violations, requests }: LimitCounts) => `${violations} of ${requests}`
  const ofLimit = (evidence: number, limit: number) => `${evidenceText(evidence, limit)} of ${evidenceText(limit)}`
  return {
    heads: ['Check', canary, stable, 'Evidence against', 'Evidence for', 'Verdict'],
    rows: checks.map((each) => [
      each.check,
      counts(each.canary),
      counts(each.stable),
      ofLimit(each.failEvidence, each.failThreshold),
      ofLimit(each.passEvidence, each.passThreshold),
      each.verdict,
    ]),
  }
}

/** How to read the table of the checks. */
export function evidenceNote({ checks }: PromotionReport): string {
  const sum = checks.reduce((total, { failEvidence }) => total + failEvidence, 0)
  return (
    'A value of 1 is no evidence. The evidence against the canary adds up over all checks ' +
    `(here ${evidenceText(sum)}); the canary fails when the sum reaches the limit.`
  )
}

/** The title of a pod's last events and log lines. */
export function diagnosisTitle({ pod, container }: NonNullable<PromotionReport['diagnosis']>[number]): string {
  return `Last events and log lines of ${pod} (container ${container})`
}
