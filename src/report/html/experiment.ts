// One experiment as HTML: its verdict, what users got, its phases, what was found. Pure.
import type { ExperimentReport, UserReport } from '../experiment-report.ts'
import { html, type Markup } from './escape.ts'
import { facts, lines, table } from './parts.ts'
import { experimentTone } from '../headline.ts'

export function experimentBody(report: ExperimentReport): Markup {
  const { service, fault, verdict, reason, before, during, timeline, findings, advice, problem } = report
  const phases = timeline.map(({ phase, atSeconds }, i) => {
    const next = timeline[i + 1]
    return [phase, `${atSeconds.toFixed(1)} s`, next ? `${(next.atSeconds - atSeconds).toFixed(1)} s` : '–']
  })
  const { secondsToRecovered: recovered } = report
  return html`<p class="verdict ${experimentTone(report)}">${verdict}</p>
<p>${reason}</p>
${problem !== undefined && html`<p><b>Recovery not confirmed:</b> ${problem}</p>`}
${facts([
  ['service', service],
  ['fault', fault],
  ['users were back after', recovered === undefined ? undefined : `${recovered.toFixed(1)} s`],
])}
${table('Users', ['Users', 'Requests', 'failed', 'p99'], [row('before the fault', before), row('while it acted', during)])}
${findings.length > 0 && html`<h3>Findings</h3>${lines(findings)}`}
${advice.length > 0 && html`<h3>Advice</h3>${lines(advice)}`}
<h3>Phases</h3>
${table('Phases', ['Phase', 'From', 'Lasted'], phases)}`
}

function row(when: string, { requests, failures, p99Ms }: UserReport): (string | number)[] {
  return [when, requests, failures, p99Ms === undefined ? '–' : `${p99Ms} ms`]
}
