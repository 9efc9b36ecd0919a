// The job summary: a report as GitHub-flavoured Markdown, the verdict first. Pure.
import { plural } from '../runtime/plural.ts'
import { experimentSection } from './experiment-summary.ts'
import { countDistinct } from './count-changes.ts'
import { cutText } from '../runtime/cut-text.ts'
import { headlineText, verdictName } from './headline.ts'
import {
  bullets,
  codeBlock,
  escape,
  folded,
  foldedSection,
  joinWithin,
  leftOutNote,
  section,
  table,
} from './markdown.ts'
import type { ReportFiles } from './outputs.ts'
import { meshState, objectName, planLines, planTitle, policyState, removedTitle, withoutCreated } from './plan-rows.ts'
import { podState } from './pod-state.ts'
import { promotionSection } from './promotion-summary.ts'
import type { ClusterResult, PlanRow, Report } from './report.ts'

/** GitHub shows no summary at all of a step that writes more than 1 MiB. */
const summaryLimitBytes = 1_000_000

/** `files`: where the reports are, which have what does not fit here. */
export function summary(report: Report, files: ReportFiles = {}): string {
  const { promotions, clusters } = report
  if (clusters) return fleetSummary(report, clusters, files)
  const parts = [
    `## ${escape(headlineText(report))}`,
    errors(report),
    ...promotions.map((each) => promotionSection(each, promotions.length > 1)),
    ...(report.experiments ?? []).map(experimentSection),
    facts(report, files),
    warnings(report),
    plan(planTitle('control plane', meshState(report)), withoutCreated(report.meshPlan)),
    plan(planTitle('policies', policyState(report)), report.plan),
    keptWeights(report),
    rendered(report),
    changes(report),
    pods(report),
    mtls(report),
    trafficChecks(report),
    telemetry(report),
    removed(report),
    stages(report),
  ]
  return joinWithin(summaryLimitBytes, parts.filter(Boolean), (leftOut) => describeLeftOut(leftOut, files))
}

/** What holds for all clusters first, then the summary of each, folded. */
function fleetSummary(report: Report, clusters: ClusterResult[], files: ReportFiles): string {
  const rows = clusters.map(({ name, wave, report: { outcome, verdict, reason = '', error = '' } }) => [
    name,
    `${wave}`,
    outcome === 'success' ? '✅' : '⛔',
    verdict === undefined ? '' : verdictName(verdict),
    reason || error.split('\n')[0]!,
  ])
  const head = [
    `## ${escape(headlineText(report))}`,
    errors(report),
    table(['Cluster', 'Wave', '', 'Verdict', 'Reason'], rows),
    files.html === undefined ? '' : `HTML report: ${escape(files.html)}`,
  ]
  const parts = [...head, ...fleetDetails(clusters, files, summaryLimitBytes - sizeOf(head.join('')))]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

const sizeOf = (text: string) => Buffer.byteLength(text)

/** In the order of the clusters. If there is no room for all, those that failed get it first. */
function fleetDetails(clusters: ClusterResult[], files: ReportFiles, roomBytes: number): string[] {
  const leftOut = (name: string) => folded(escape(name), describeLeftOut(1, files))
  const details = new Map(
    clusters.map(({ name, report }) => [name, folded(escape(name), summary(report, { json: files.json }))]),
  )
  const byNeed = clusters.toSorted(
    (a, b) => Number(a.report.outcome === 'success') - Number(b.report.outcome === 'success'),
  )
  let room = clusters.reduce((left, { name }) => left - sizeOf(`${leftOut(name)}\n\n`), roomBytes)
  for (const { name } of byNeed) {
    const size = sizeOf(details.get(name)!)
    if (size > room) details.set(name, leftOut(name))
    else room -= size
  }
  return [...details.values()]
}

function describeLeftOut(count: number, { html, json }: ReportFiles): string {
  const where = html ?? json
  const rest = where === undefined ? 'the JSON report has them' : `they are in ${escape(where)}`
  return leftOutNote(count, `a summary may have 1 MiB: ${rest}`)
}

/** Of an error, enough to act on: the reports have it whole. */
const errorLimit = 50
const errorLength = 4_000

function errors({ error }: Report): string {
  const lines = error?.split('\n') ?? []
  const shown = lines.slice(0, errorLimit).map((line) => escape(cutText(line, errorLength)))
  const more = lines.length > errorLimit ? [`… and ${lines.length - errorLimit} more`] : []
  return [...shown, ...more].map((line) => `> ${line}`).join('\n>\n')
}

function facts(report: Report, { html }: ReportFiles): string {
  const { cluster, mesh, istioctl, verdict, reason, restarted, changes, traceId, promotions } = report
  const rows: [string, string][] = []
  // Of one promotion, its own section says it.
  if (verdict && promotions.length !== 1)
    rows.push(['Verdict', `**${verdictName(verdict)}**${reason === undefined ? '' : `: ${escape(reason)}`}`])
  if (cluster) rows.push(['Cluster', escape(clusterOf(cluster))])
  if (mesh) rows.push(['Mesh', meshOf(mesh)])
  if (istioctl) {
    const origin = istioctl.cacheHit ? 'from the tool cache' : 'downloaded and verified'
    rows.push(['istioctl', `${istioctl.version}, ${origin}`])
  }
  rows.push(['Restarted', restarted.length > 0 ? restarted.join(', ') : 'nothing'])
  rows.push(['Objects changed', String(countDistinct(changes))])
  if (traceId !== undefined) rows.push(['Trace', traceId])
  if (html !== undefined) rows.push(['HTML report', escape(html)])
  return table(['', ''], rows, (cell) => cell)
}

function meshOf({ version, revision, action }: NonNullable<Report['mesh']>): string {
  return `Istio ${version}${revision === undefined ? '' : ` (revision ${revision})`}, ${action}`
}

function clusterOf({ name, action, kubernetes, nodes, ingress, logs }: NonNullable<Report['cluster']>): string {
  const facts = [
    `kind ${name}, ${action}`,
    kubernetes && `Kubernetes ${kubernetes}`,
    plural(nodes, 'node'),
    ingress.http && `ingress at ${ingress.http}`,
    logs && `logs in ${logs}`,
  ]
  return facts.filter(Boolean).join(', ')
}

function warnings({ warnings }: Report): string {
  return warnings.length > 0 ? section('Warnings', bullets(warnings)) : ''
}

function removed(report: Report): string {
  const { removed = [] } = report
  return removed.length > 0 ? foldedSection(removedTitle(report), bullets(removed)) : ''
}

function plan(title: string, rows: PlanRow[] = []): string {
  if (rows.length === 0) return ''
  return foldedSection(title, codeBlock('diff', planLines(rows)))
}

function keptWeights({ keptWeights = [] }: Report): string {
  return keptWeights.length > 0 ? section('Kept weights', bullets(keptWeights)) : ''
}

function rendered({ rendered }: Report): string {
  return rendered === undefined ? '' : foldedSection('Rendered', codeBlock('yaml', rendered.trimEnd().split('\n')))
}

function changes({ changes }: Report): string {
  if (changes.length === 0) return ''
  const rows = changes.map((change) => [change.kind, objectName(change), change.action])
  return foldedSection('Changes', table(['Kind', 'Object', 'Action'], rows))
}

function pods({ pods }: Report): string {
  if (pods.length === 0) return ''
  const rows = pods.map((pod) => [pod.name, pod.ready, pod.sidecar, podState(pod).text])
  return foldedSection('Pods', table(['Pod', 'Ready', 'Sidecar', 'State'], rows))
}

function mtls({ mtls }: Report): string {
  if (!mtls) return ''
  const mark = (ok: boolean | undefined, note = '') => {
    if (ok === undefined) return note
    return ok ? '✓' : `✗ ${note}`
  }
  const rows = mtls.map(({ pod, port, expected, seen, ok, note }) => [pod, `${port}`, expected, seen, mark(ok, note)])
  return foldedSection('Mutual TLS', table(['Pod', 'Port', 'Mode', 'A plaintext request is', ''], rows))
}

function trafficChecks({ trafficChecks = [] }: Report): string {
  if (trafficChecks.length === 0) return ''
  const rows = trafficChecks.map(({ service, what, ok, text }) => [service, what, resultMark(ok), text])
  return foldedSection('Traffic checks', table(['Service', 'Policy', '', 'Observed'], rows))
}

function telemetry({ telemetry = [] }: Report): string {
  if (telemetry.length === 0) return ''
  const rows = telemetry.map(({ what, ok, text }) => [what, resultMark(ok), text])
  return foldedSection('Telemetry', table(['What', 'Arrives', 'Observed'], rows))
}

/** A dash stands for what cannot be known. */
function resultMark(ok: boolean | undefined): string {
  if (ok === undefined) return '–'
  return ok ? '✓' : '✗'
}

function stages({ stages }: Report): string {
  const rows = stages.map(({ name, outcome, seconds }) => [name, outcome, seconds.toFixed(1)])
  return foldedSection('Stages', table(['Stage', 'Outcome', 'Seconds'], rows))
}
