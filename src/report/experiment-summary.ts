// The part of the job summary about one experiment: its verdict, its timeline, and what the mesh did. Pure.
import { bullets, escape, section, table } from './markdown.ts'
import { experimentName } from './headline.ts'
import type { ExperimentReport, UserReport } from './experiment-report.ts'

export function experimentSection(report: ExperimentReport): string {
  const { service, fault, verdict, reason, before, during, findings, advice, problem } = report
  const parts = [
    `**${verdict}**: ${escape(reason)}`,
    problem === undefined ? '' : `**Recovery not confirmed:** ${escape(problem)}`,
    timeline(report),
    table(
      ['Users of ' + service, 'Requests', 'failed', 'p99 ms'],
      [userRow('before the fault', before), userRow('while it acted', during)],
    ),
    findings.length > 0 ? `Findings:\n\n${bullets(findings)}` : '',
    advice.length > 0 ? `Advice:\n\n${bullets(advice)}` : '',
  ]
  return section(`Experiment ${escape(experimentName(report))}: ${fault}`, parts.filter(Boolean).join('\n\n'))
}

function timeline({ timeline, secondsToRecovered }: ExperimentReport): string {
  const rows = timeline.map(({ phase, atSeconds }, i) => {
    const next = timeline[i + 1]
    const isRecovery = phase === 'recovering' && secondsToRecovered !== undefined
    return [
      phase,
      atSeconds.toFixed(1),
      next ? (next.atSeconds - atSeconds).toFixed(1) : '–',
      isRecovery ? `users were back ${secondsToRecovered.toFixed(1)} s after the removal` : '',
    ]
  })
  return table(['Phase', 'From s', 'Seconds', ''], rows)
}

function userRow(when: string, { requests, failures, p99Ms }: UserReport): string[] {
  return [when, `${requests}`, `${failures}`, p99Ms === undefined ? '–' : `${p99Ms}`]
}
