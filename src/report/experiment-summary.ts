// The part of the job summary about one experiment: its verdict, its timeline, and what the mesh did. Pure.
import { escape, section, table } from './markdown.ts'
import type { ExperimentReport, UserReport } from './experiment-report.ts'

export function experimentSection(report: ExperimentReport): string {
  const { name, service, fault, verdict, reason, before, during, findings, advice, problem } = report
  const parts = [
    `**${verdict}**: ${escape(reason)}`,
    problem === undefined ? '' : `**Not recovered for sure:** ${escape(problem)}`,
    timeline(report),
    table(
      ['Users of ' + service, 'Requests', 'failed', 'p99 ms'],
      [userRow('before the fault', before), userRow('while it acted', during)],
    ),
    bullets(findings),
    advice.length > 0 ? `What would help:\n\n${bullets(advice)}` : '',
  ]
  return section(`Experiment ${escape(name)}: ${fault}`, parts.filter(Boolean).join('\n\n'))
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

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${escape(line)}`).join('\n')
}
