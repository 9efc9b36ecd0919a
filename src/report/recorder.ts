// The report of a run while the run goes on. Stages add to it at once, so that it is complete when a later step fails.
import type { ClusterReport, Report } from './report.ts'

/** Lists are appended to, `cluster` is merged, everything else is set. */
export type ReportPart = Partial<Omit<Report, 'cluster'>> & { cluster?: Partial<ClusterReport> }

export type Recorder = {
  current: () => Readonly<Report>
  record: (part: ReportPart) => void
}

export function createRecorder(initial: Report): Recorder {
  let report = initial
  return {
    current: () => report,
    record: (part) => {
      report = addToReport(report, part)
    },
  }
}

const lists = ['stages', 'changes', 'restarted', 'warnings', 'removed'] as const

/** The report with the part added; the report itself stays as it is. */
export function addToReport(report: Report, part: ReportPart): Report {
  const appended = lists.flatMap((key) => (part[key] ? [[key, [...(report[key] ?? []), ...part[key]]]] : []))
  const cluster = part.cluster ? { cluster: { ...report.cluster, ...part.cluster } as ClusterReport } : {}
  return { ...report, ...part, ...(Object.fromEntries(appended) as Partial<Report>), ...cluster } as Report
}
