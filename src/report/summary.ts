// The job summary: a report as GitHub-flavoured Markdown, the verdict first. Pure.
import { codeBlock, escape, section, table } from './markdown.ts'
import { experimentSection } from './experiment-summary.ts'
import { promotionSection } from './promotion-summary.ts'
import type { ClusterResult, PlanRow, PromotionReport, Report } from './report.ts'

export function summary(report: Report): string {
  if (report.clusters) return fleetSummary(report, report.clusters)
  const parts = [
    `## ${escape(headline(report))}`,
    errors(report),
    facts(report),
    ...report.promotions.map((each) => promotionSection(each, report.promotions.length > 1)),
    ...(report.experiments ?? []).map(experimentSection),
    warnings(report),
    plan('Control plane', meshChanges(report)),
    plan('Policies', report.plan),
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
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

function fleetHeadline({ outcome, dryRun }: Report, clusters: ClusterResult[]): string {
  if (dryRun && outcome === 'success') {
    const count = clusters.reduce(
      (sum, { report: { plan = [], removed = [] } }) => sum + plan.length + removed.length,
      0,
    )
    return `📋 Nothing was changed: ${count} objects would be`
  }
  const each = clusters.map(({ name, report }) => `${name}: ${report.verdict ?? report.outcome}`)
  return `${outcome === 'success' ? '✅' : '⛔'} ${each.join('; ')}`
}

/** What holds for all clusters first, then the summary of each, folded. */
function fleetSummary(report: Report, clusters: ClusterResult[]): string {
  const rows = clusters.map(({ name, wave, report: { outcome, verdict = '', reason = '', error = '' } }) => [
    name,
    `${wave}`,
    outcome === 'success' ? '✅' : '⛔',
    verdict,
    reason || error.split('\n')[0]!,
  ])
  const head = [
    `## ${escape(fleetHeadline(report, clusters))}`,
    errors(report),
    table(['Cluster', 'Wave', '', 'Verdict', 'Reason'], rows),
  ]
  const parts = [...head, ...fleetDetails(clusters, limitBytes - sizeOf(head.join('')))]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

/** GitHub shows nothing of a summary above 1 MiB, and an earlier step may have written some of it. */
const limitBytes = 1_000_000

const sizeOf = (text: string) => Buffer.byteLength(text)

/** In the order of the clusters. If there is no room for all, those that failed get it first. */
function fleetDetails(clusters: ClusterResult[], roomBytes: number): string[] {
  const details = new Map(clusters.map(({ name, report }) => [name, folded(name, summary(report))]))
  const byNeed = clusters.toSorted(
    (a, b) => Number(a.report.outcome === 'success') - Number(b.report.outcome === 'success'),
  )
  let room = roomBytes - clusters.length * 250
  for (const { name } of byNeed) {
    const size = sizeOf(details.get(name)!)
    if (size > room) details.set(name, folded(name, 'Left out, because GitHub shows 1 MiB at most; the report has it.'))
    else room -= size
  }
  return [...details.values()]
}

function folded(name: string, text: string): string {
  return `<details><summary>${escape(name)}</summary>\n\n${text}\n</details>`
}

function headline({ promotions, experiments = [], outcome, error, dryRun, plan = [], removed = [] }: Report): string {
  if (dryRun && outcome === 'success') return `📋 Nothing was changed: ${plan.length + removed.length} objects would be`
  if (promotions.length > 0) return `${outcome === 'success' ? '✅' : '⛔'} ${promotions.map(outcomeOf).join('; ')}`
  if (experiments.length > 0)
    return `${outcome === 'success' ? '✅' : '⛔'} ${experiments.map(({ name, verdict }) => `${name}: ${verdict}`).join('; ')}`
  return outcome === 'success' ? '✅ The mesh is as asked' : `⛔ ${(error ?? 'failed').split('\n')[0]!.slice(0, 100)}`
}

function outcomeOf({ service, canary, verdict, weight, adopted }: PromotionReport): string {
  if (verdict === 'promoted') return `${canary} of ${service} is promoted${adopted ? ` and adopted` : ''}`
  return verdict === 'skipped'
    ? `${canary} of ${service} was not moved (weight ${weight})`
    : `${canary} of ${service}: ${verdict}, weight ${weight}`
}

function errors({ error }: Report): string {
  const lines = error?.split('\n') ?? []
  return lines.map((line) => `> ${escape(line)}`).join('\n>\n')
}

function facts({ cluster, mesh, istioctl, verdict, reason, restarted, changes, traceId }: Report): string {
  const rows: [string, string][] = []
  if (verdict) rows.push(['Verdict', `**${verdict}**${reason === undefined ? '' : `: ${escape(reason)}`}`])
  if (cluster) rows.push(['Cluster', escape(clusterOf(cluster))])
  if (mesh) rows.push(['Mesh', meshOf(mesh)])
  if (istioctl) {
    const origin = istioctl.cacheHit ? 'from the tool cache' : 'downloaded and verified'
    rows.push(['istioctl', `${istioctl.version}, ${origin}`])
  }
  rows.push(['Restarted', restarted.length > 0 ? restarted.join(', ') : 'nothing'])
  rows.push(['Objects changed', String(changes.length)])
  if (traceId !== undefined) rows.push(['Trace', traceId])
  return table(['', ''], rows, (cell) => cell)
}

function meshOf({ version, revision, action }: NonNullable<Report['mesh']>): string {
  return `Istio ${version}${revision === undefined ? '' : ` (revision ${revision})`}, ${action}`
}

function clusterOf({ name, action, kubernetes, nodes, ingress, logs }: NonNullable<Report['cluster']>): string {
  const facts = [
    `kind ${name}, ${action}`,
    kubernetes && `Kubernetes ${kubernetes}`,
    `${nodes} node${nodes === 1 ? '' : 's'}`,
    ingress.http && `ingress at ${ingress.http}`,
    logs && `logs in ${logs}`,
  ]
  return facts.filter(Boolean).join(', ')
}

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${escape(line)}`).join('\n')
}

function warnings({ warnings }: Report): string {
  return warnings.length > 0 ? section('Warnings', bullets(warnings)) : ''
}

function removed({ removed }: Report): string {
  return removed ? section('Removed', bullets(removed)) : ''
}

function plan(title: string, rows: PlanRow[] = []): string {
  if (rows.length === 0) return ''
  const lines = rows.flatMap(({ action, kind, namespace, name, diff }) => [
    `# ${kind} ${namespace}/${name}: ${action}`,
    ...diff,
  ])
  return section(title, codeBlock('diff', lines))
}

/** Without what is new: the first installation creates dozens of objects. */
function meshChanges({ meshPlan = [] }: Report): PlanRow[] {
  return meshPlan.filter(({ action }) => action !== 'create')
}

function keptWeights({ keptWeights = [] }: Report): string {
  return keptWeights.length > 0 ? section('Kept weights', bullets(keptWeights)) : ''
}

function rendered({ rendered }: Report): string {
  return rendered === undefined ? '' : section('Rendered', codeBlock('yaml', rendered.trimEnd().split('\n')))
}

function changes({ changes }: Report): string {
  if (changes.length === 0) return ''
  const rows = changes.map(({ kind, namespace, name, action }) => [kind, `${namespace}/${name}`, action])
  return section('Changes', table(['Kind', 'Object', 'Action'], rows))
}

function pods({ pods }: Report): string {
  if (pods.length === 0) return ''
  const rows = pods.map(({ name, ready, sidecar, ok, cause }) => [
    name,
    ready,
    sidecar,
    ok ? '✓' : (cause ?? 'judged by the promotion'),
  ])
  return section('Pods', table(['Pod', 'Ready', 'Sidecar', ''], rows))
}

function mtls({ mtls }: Report): string {
  if (!mtls) return ''
  const mark = (ok: boolean | undefined, note = '') => {
    if (ok === undefined) return note
    return ok ? '✓' : `✗ ${note}`
  }
  const rows = mtls.map(({ pod, port, expected, seen, ok, note }) => [pod, `${port}`, expected, seen, mark(ok, note)])
  return section('Mutual TLS', table(['Pod', 'Port', 'Mode', 'A plaintext request is', ''], rows))
}

function trafficChecks({ trafficChecks = [] }: Report): string {
  if (trafficChecks.length === 0) return ''
  const rows = trafficChecks.map(({ service, what, ok, text }) => [service, what, resultMark(ok), text])
  return section('Traffic checks', table(['Service', 'Policy', '', 'Observed'], rows))
}

function telemetry({ telemetry = [] }: Report): string {
  if (telemetry.length === 0) return ''
  const rows = telemetry.map(({ what, ok, text }) => [what, resultMark(ok), text])
  return section('Telemetry', table(['What', 'Arrives', 'Observed'], rows))
}

/** A dash stands for what cannot be known. */
function resultMark(ok: boolean | undefined): string {
  if (ok === undefined) return '–'
  return ok ? '✓' : '✗'
}

function stages({ stages }: Report): string {
  const rows = stages.map(({ name, outcome, seconds }) => [name, outcome, seconds.toFixed(1)])
  return section('Stages', table(['Stage', 'Outcome', 'Seconds'], rows))
}
