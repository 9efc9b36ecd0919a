// What a run did besides its promotions, as sections of the page. Pure.
import { withCluster } from '../../runtime/cluster-text.ts'
import { countDistinct } from '../count-changes.ts'
import { meshState, objectName, objectTitle, planTitle, policyState, removedTitle } from '../plan-rows.ts'
import { podState } from '../pod-state.ts'
import type { PlanRow, Report } from '../report.ts'
import { html, nothing, type Markup } from './escape.ts'
import { diff, facts, folded, lines, table, type Cell } from './parts.ts'

/** `id`: of the heading, for links. */
export type Section = { id: string; title: string; body: Markup }

/** Those that have something to say. */
export function runSections(report: Report): Section[] {
  const { dryRun, plan = [], meshPlan = [], changes, pods, warnings, keptWeights = [], removed = [] } = report
  const [policies, mesh] = [planTitle('policies', policyState(report)), planTitle('control plane', meshState(report))]
  const all: (Section | false)[] = [
    warnings.length > 0 && { id: 'warnings', title: 'Warnings', body: lines(warnings) },
    plan.length > 0 && { id: 'policies', title: policies, body: diffs(plan, dryRun) },
    meshPlan.length > 0 && { id: 'control-plane', title: mesh, body: diffs(meshPlan, false) },
    keptWeights.length > 0 && { id: 'kept', title: 'Kept weights', body: lines(keptWeights) },
    removed.length > 0 && { id: 'removed', title: removedTitle(report), body: lines(removed) },
    report.rendered !== undefined && { id: 'objects', title: 'Objects', body: html`<pre>${report.rendered}</pre>` },
    changes.length > 0 && { id: 'changes', title: 'Changes', body: changeTable(report) },
    pods.length > 0 && { id: 'pods', title: 'Pods', body: podTable(report) },
    ...verification(report),
    { id: 'run', title: 'The run', body: runFacts(report) },
  ]
  return all.filter((each) => each !== false)
}

/** One block for each object. A plan is there to be read, so it is open. */
function diffs(rows: PlanRow[], isOpen: boolean): Markup {
  return html`${rows.map((row) => objectDiff(row, isOpen))}`
}

function objectDiff(row: PlanRow, isOpen: boolean): Markup {
  const { action, diff: changed } = row
  const title = `${objectTitle(row)}: ${action}`
  return changed.length === 0 ? html`<p>${title}</p>` : folded(title, diff(changed), isOpen)
}

function changeTable({ changes }: Report): Markup {
  const rows = changes.map((change) => [change.kind, objectName(change), change.action])
  return table('Changes', ['Kind', 'Object', 'Action'], rows)
}

function podTable({ pods }: Report): Markup {
  const rows = pods.map((pod): Cell[] => {
    const { tone, text } = podState(pod)
    return [pod.name, pod.ready, pod.sidecar, pod.restarts, html`<span class="${tone}">${text}</span>`]
  })
  return table('Pods', ['Pod', 'Ready', 'Sidecar', 'Restarts', 'State'], rows)
}

function verification({ mtls = [], trafficChecks = [], telemetry = [] }: Report): (Section | false)[] {
  const mtlsRows = mtls.map(({ pod, port, expected, seen, ok, note }): Cell[] => [
    pod,
    port,
    expected,
    seen,
    ok === undefined ? (note ?? '–') : mark(ok, note),
  ])
  const checkRows = trafficChecks.map(({ service, what, ok, text }): Cell[] => [service, what, mark(ok), text])
  const telemetryRows = telemetry.map(({ what, ok, text }): Cell[] => [what, mark(ok), text])
  const tables: [Cell[][], string, string, string[]][] = [
    [mtlsRows, 'mtls', 'Mutual TLS', ['Pod', 'Port', 'Mode', 'A plaintext request is', 'As configured']],
    [checkRows, 'traffic-checks', 'Traffic checks', ['Service', 'Policy', 'Holds', 'Observed']],
    [telemetryRows, 'telemetry', 'Telemetry', ['What', 'Arrives', 'Observed']],
  ]
  return tables.map(([rows, id, title, heads]) => rows.length > 0 && { id, title, body: table(title, heads, rows) })
}

/** A dash stands for what cannot be known. */
function mark(ok: boolean | undefined, note?: string): Cell {
  if (ok === undefined) return '–'
  return ok ? html`<span class="good">✓ yes</span>` : html`<span class="bad">✗ ${note ?? 'no'}</span>`
}

function runFacts(report: Report): Markup {
  const { cluster, mesh, istioctl, namespace, server, restarted, changes, traceId, stages, cost, clusters } = report
  const stageRows = stages.map(({ cluster, name, outcome, seconds }) => [
    withCluster(cluster, name),
    outcome,
    seconds.toFixed(1),
  ])
  return html`${facts([
    ['namespace', namespace],
    ['API server', server],
    ['cluster', cluster && `kind ${cluster.name}, ${cluster.action}`],
    ['mesh', mesh && `Istio ${mesh.version}, ${mesh.action}`],
    ['istioctl', istioctl?.version],
    // Of a fleet, the sections of its clusters say it.
    ['restarted', clusters ? undefined : restarted.join(', ') || 'nothing'],
    ['objects changed', clusters ? undefined : String(countDistinct(changes))],
    ['trace', traceId],
  ])}
${cost ? html`<p>${cost.text}</p>` : nothing}
${stageRows.length > 0 && html`<h3>Stages</h3>${table('Stages', ['Stage', 'Outcome', 'Seconds'], stageRows)}`}`
}
