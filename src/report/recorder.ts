// Builds the report during the run. Stages record their results at once, so that the report is complete if a later step
// fails.
import type { ClusterReport, Report } from './report.ts'

/** Appends to lists, merges `cluster`, and sets everything else. */
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

const lists = ['stages', 'changes', 'restarted', 'warnings', 'removed', 'commits'] as const

/** Returns the report with the part added, without changing the report itself. */
export function addToReport(report: Report, part: ReportPart): Report {
  const appended = lists.flatMap((key) => (part[key] ? [[key, [...(report[key] ?? []), ...part[key]]]] : []))
  const cluster = part.cluster ? { cluster: { ...report.cluster, ...part.cluster } as ClusterReport } : {}
  return { ...report, ...part, ...(Object.fromEntries(appended) as Partial<Report>), ...cluster } as Report
}
