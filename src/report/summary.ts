// The job summary: a report as GitHub-flavoured Markdown. Pure.
import type { LimitCounts } from '../canary/analysis/request-counts.ts'
import type { PromotionReport, Report } from './report.ts'

export function summary(report: Report): string {
  return (
    [
      `## ${escape(headline(report))}`,
      report.error === undefined
        ? ''
        : report.error
            .split('\n')
            .map((line) => `> ${escape(line)}`)
            .join('\n>\n'),
      facts(report),
      ...report.promotions.map((each) => promotion(each, report.promotions.length > 1)),
      report.warnings.length > 0
        ? section('Warnings', report.warnings.map((warning) => `- ${escape(warning)}`).join('\n'))
        : '',
      report.plan && report.plan.length > 0 ? section('Policies', plan(report.plan)) : '',
      report.rendered === undefined ? '' : section('Rendered', `\`\`\`\`\`yaml\n${report.rendered}\`\`\`\`\``),
      report.changes.length > 0
        ? section(
            'Changes',
            table(
              ['Kind', 'Object', 'Action'],
              report.changes.map(({ kind, namespace, name, action }) => [kind, `${namespace}/${name}`, action]),
            ),
          )
        : '',
      report.pods.length > 0
        ? section(
            'Pods',
            table(
              ['Pod', 'Ready', 'Sidecar', ''],
              report.pods.map(({ name, ready, sidecar, ok, cause }) => [
                name,
                ready,
                sidecar,
                ok ? '✓' : (cause ?? 'judged by the promotion'),
              ]),
            ),
          )
        : '',
      report.mtls
        ? section(
            'Mutual TLS on the wire',
            table(
              ['Pod', 'Port', 'Mode', 'A plaintext request is', ''],
              report.mtls.map(({ pod, port, expected, seen, ok, note }) => [
                pod,
                `${port}`,
                expected,
                seen,
                ok === undefined ? (note ?? '') : ok ? '✓' : `✗ ${note ?? ''}`,
              ]),
            ),
          )
        : '',
      report.trafficChecks && report.trafficChecks.length > 0
        ? section(
            'In the traffic',
            table(
              ['Service', 'Policy', '', 'Seen'],
              report.trafficChecks.map(({ service, what, ok, text }) => [
                service,
                what,
                ok === undefined ? '–' : ok ? '✓' : '✗',
                text,
              ]),
            ),
          )
        : '',
      report.removed ? section('Removed', report.removed.map((name) => `- ${escape(name)}`).join('\n')) : '',
      section(
        'Stages',
        table(
          ['Stage', 'Outcome', 'Seconds'],
          report.stages.map(({ name, outcome, seconds }) => [name, outcome, seconds.toFixed(1)]),
        ),
      ),
    ]
      .filter(Boolean)
      .join('\n\n') + '\n'
  )
}

function headline({ promotions, outcome, error, dryRun, plan = [], removed = [] }: Report): string {
  if (dryRun && outcome === 'success') return `📋 Nothing was changed: ${plan.length + removed.length} objects would be`
  if (promotions.length > 0) return `${outcome === 'success' ? '✅' : '⛔'} ${promotions.map(outcomeOf).join('; ')}`
  return outcome === 'success' ? '✅ The mesh is as asked' : `⛔ ${(error ?? 'failed').split('\n')[0]!.slice(0, 100)}`
}

function outcomeOf({ service, canary, verdict, weight, adopted }: PromotionReport): string {
  if (verdict === 'promoted') return `${canary} of ${service} is promoted${adopted ? ` and adopted` : ''}`
  return verdict === 'skipped'
    ? `${canary} of ${service} was not moved (weight ${weight})`
    : `${canary} of ${service}: ${verdict}, weight ${weight}`
}

function facts({ cluster, mesh, istioctl, verdict, reason, restarted, changes }: Report): string {
  const rows: [string, string][] = []
  if (verdict) rows.push(['Verdict', `**${verdict}**${reason === undefined ? '' : `: ${escape(reason)}`}`])
  if (cluster) rows.push(['Cluster', escape(clusterOf(cluster))])
  if (mesh)
    rows.push([
      'Mesh',
      `Istio ${mesh.version}${mesh.revision === undefined ? '' : ` (revision ${mesh.revision})`}, ${mesh.action}`,
    ])
  if (istioctl)
    rows.push([
      'istioctl',
      `${istioctl.version}, ${istioctl.cacheHit ? 'from the tool cache' : 'downloaded and verified'}`,
    ])
  rows.push(
    ['Restarted', restarted.length > 0 ? restarted.join(', ') : 'nothing'],
    ['Objects changed', String(changes.length)],
  )
  return table(['', ''], rows, (cell) => cell)
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

function promotion(report: PromotionReport, isOneOfSeveral: boolean): string {
  const {
    service,
    canary,
    verdict,
    reason,
    steps,
    userRequests,
    requestsObserved,
    secondsToDetect,
    secondsToSafe,
    diagnosis = [],
  } = report
  const rows = steps.map(({ kind, weight, startSeconds, seconds, canary, stable, split, outcome }) => [
    kind === 'weight' ? `${weight}` : kind === 'mirror' ? `copies of ${weight}%` : 'those that match',
    startSeconds.toFixed(0),
    seconds.toFixed(1),
    `${canary.requests}`,
    rate(canary),
    `${stable.requests}`,
    rate(stable),
    split ? `${split.observed}%${split.fits ? '' : ` (not ${weight}%)`}` : '–',
    outcome,
  ])
  const told = [
    `Requests seen at the canary: ${requestsObserved}. Requests of the users of ${service}: ${userRequests.total}, failed: ${userRequests.failed}.`,
    secondsToDetect === undefined ? '' : `Decided ${secondsToDetect.toFixed(1)} s after the canary's first request.`,
    secondsToSafe === undefined
      ? ''
      : `The canary served nothing any more ${secondsToSafe.toFixed(1)} s after its weight was put back.`,
  ]
    .filter(Boolean)
    .join(' ')
  const heads = [
    'Weight',
    'From s',
    'Seconds',
    'Canary requests',
    'succeeded',
    'Stable requests',
    'succeeded',
    'Share seen',
    'Outcome',
  ]
  const lead = isOneOfSeveral ? `**${verdict}**: ${escape(reason)}` : ''
  const parts = [
    lead,
    steps.length > 0 ? table(heads, rows) : '',
    steps.length > 0 ? chart(report) : '',
    steps.length > 0 ? evidence(report) : '',
    told,
    ...diagnosis.map(last),
  ]
  return section(isOneOfSeveral ? `${canary} of ${service}` : 'Steps', parts.filter(Boolean).join('\n\n'))
}

/** E is how strongly the counts speak: 1 is nothing, and from the threshold on the check decides. */
function evidence({ checks }: PromotionReport): string {
  const e = (value: number) => (value >= 1000 ? value.toExponential(1) : value.toFixed(2))
  const counts = ({ violations, requests }: LimitCounts) => `${violations} of ${requests}`
  return table(
    ['Check', 'Canary', 'Stable', 'E against', 'E for', 'Decides at', 'Says'],
    checks.map(({ check, canary, stable, failEvidence, passEvidence, threshold, verdict }) => [
      check,
      counts(canary),
      counts(stable),
      e(failEvidence),
      e(passEvidence),
      e(threshold),
      verdict,
    ]),
  )
}

function last({ pod, container, cause, log, events }: NonNullable<PromotionReport['diagnosis']>[number]): string {
  const lines = [...events, ...log].map((line) => line.replaceAll('`````', "'''''"))
  return lines.length === 0
    ? ''
    : [
        `Last of ${escape(pod)} (${escape(container)})${cause === undefined ? '' : `: ${escape(cause)}`}:`,
        '',
        '`````text',
        ...lines,
        '`````',
      ].join('\n')
}

function rate({ requests, failures }: { requests: number; failures: number }): string {
  return requests === 0 ? '–' : `${(((requests - failures) / requests) * 100).toFixed(1)}%`
}

/** Mermaid draws it on GitHub; every number is finite and no text holds a colon. */
function chart({ steps, canary }: PromotionReport): string {
  const weights = steps.map(({ weight }) => weight)
  const succeeded = steps.map(({ canary: { requests, failures } }) =>
    requests === 0 ? 0 : Math.round(((requests - failures) / requests) * 1000) / 10,
  )
  const axis = steps.map(({ startSeconds, weight }) => `"${weight} at ${startSeconds.toFixed(0)} s"`)
  return [
    '```mermaid',
    'xychart-beta',
    `  title "${canary} weight (bars) and success (line), per cent"`,
    `  x-axis [${axis.join(', ')}]`,
    '  y-axis "per cent" 0 --> 100',
    `  bar [${weights.join(', ')}]`,
    `  line [${succeeded.join(', ')}]`,
    '```',
  ].join('\n')
}

/** A fence longer than any inside cannot be left by what a diff holds. */
function plan(rows: NonNullable<Report['plan']>): string {
  const lines = rows.flatMap(({ action, kind, namespace, name, diff }) => [
    `# ${kind} ${namespace}/${name}: ${action}`,
    ...diff,
  ])
  return ['`````diff', ...lines.map((line) => line.replaceAll('`````', "'''''")), '`````'].join('\n')
}

function section(title: string, body: string): string {
  return `### ${title}\n\n${body}`
}

function table(heads: string[], rows: string[][], cell = escape): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map((row) => line(row.map(cell)))].join('\n')
}

/** Names and log lines come from the cluster: they must not become markup. */
function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]<>|#]/g, (sign) => `\\${sign}`).replaceAll('\n', ' ')
}
