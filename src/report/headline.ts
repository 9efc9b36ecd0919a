// What a run came to, in one sentence. Pure.
import { inCluster, withCluster } from '../runtime/cluster-text.ts'
import { cutText } from '../runtime/cut-text.ts'
import { plural } from '../runtime/plural.ts'
import { countDistinct } from './count-changes.ts'
import { worstExperiment, type ExperimentReport } from './experiment-report.ts'
import { worstPromotion, type ClusterResult, type PromotionReport, type Report } from './report.ts'

/** `tone`: `good` only if all went well; `open` if nothing was decided, or nothing had to be. */
export type Headline = { tone: 'good' | 'bad' | 'open'; verdict: string; sentence: string; reason?: string }

export function headline(report: Report): Headline {
  const { promotions, outcome, error, dryRun, clusters } = report
  if (clusters) return ofFleet(report, clusters)
  const promotion = worstPromotion(promotions)
  if (promotion) return ofPromotions(promotions, promotion, outcome)
  const experiment = worstExperiment(report.experiments ?? [])
  if (experiment) return ofExperiment(experiment, outcome)
  if (outcome === 'failure') {
    const [first = 'no reason is known', ...rest] = (error ?? '').split('\n').filter(Boolean)
    return { tone: 'bad', verdict: 'failed', sentence: `The run failed: ${first}`, ...more(rest) }
  }
  if (dryRun) return ofPlan([report])
  if (report.verdict !== undefined) return ofRollback(report, report.verdict)
  return { tone: 'good', verdict: 'done', sentence: sentenceOf([workText(report)]) }
}

/** How each cluster has ended, or all that would change. Without promotions, each says so itself. */
function ofFleet({ reason, ...report }: Report, clusters: ClusterResult[]): Headline {
  if (report.dryRun && report.outcome === 'success') return ofPlan(clusters.map(({ report }) => report))
  const nameOf = ({ verdict }: Pick<Report, 'verdict'>, alone: string) =>
    verdict === undefined ? alone : verdictName(verdict)
  const verdict = nameOf(report, report.outcome === 'success' ? 'done' : 'failed')
  const parts = clusters.map(({ name, report }) => ({
    name,
    ended: nameOf(report, report.outcome),
    ...headline(report),
  }))
  const hasPromotions = report.promotions.length > 0
  const sentence = parts
    .map(({ name, ended, sentence }) => withCluster(name, hasPromotions ? ended : sentence))
    .join('; ')
  const tone = hasPromotions && report.verdict !== undefined ? toneOf({ verdict: report.verdict }) : worstTone(parts)
  const isFailed = report.outcome === 'failure'
  return { tone: isFailed ? 'bad' : tone, verdict, sentence, ...(reason === undefined ? {} : { reason }) }
}

function worstTone(parts: Headline[]): Headline['tone'] {
  const tones = parts.map(({ tone }) => tone)
  return (['bad', 'open'] as const).find((tone) => tones.includes(tone)) ?? 'good'
}

const icons = { good: '✅', bad: '⛔', open: '⚪' }

/** The headline in a line of Markdown. */
export function headlineText(report: Report): string {
  const { tone, verdict, sentence } = headline(report)
  const icon = verdict === 'plan' ? '📋' : icons[report.outcome === 'failure' ? 'bad' : tone]
  return `${icon} ${cutText(sentence, sentenceLength)}`
}

const sentenceLength = 200

/** A verdict without a promotion is that of the stage rollback. */
function ofRollback(report: Report, verdict: PromotionReport['verdict']): Headline {
  const { reason, returned = [] } = report
  const doubt = verdict === 'rolled-back' ? '' : ', but it is not certain that all of it has followed'
  const moved = returned.length > 0 ? `The traffic was returned to stable${doubt}` : 'No traffic was moved'
  // The routes that it wrote are among the changes, and said already.
  const others = report.stages.some(({ name }) => name === 'uninstall') ? `; ${removalSentence(report)}` : ''
  const sentence = `${moved}${others}`
  return { tone: 'open', verdict: verdictName(verdict), sentence, ...(reason === undefined ? {} : { reason }) }
}

function more(rest: string[]): { reason?: string } {
  return rest.length > 0 ? { reason: rest.join(' ') } : {}
}

/** In a fleet with its cluster. */
export function experimentName({ cluster, name }: Pick<ExperimentReport, 'cluster' | 'name'>): string {
  return inCluster(name, cluster)
}

export function experimentTone({ verdict, recovery }: ExperimentReport): Headline['tone'] {
  if (verdict === 'fragile') return 'bad'
  return verdict === 'resilient' && recovery !== 'unconfirmed' ? 'good' : 'open'
}

function ofExperiment(worst: ExperimentReport, outcome: Report['outcome']): Headline {
  const { name, service, verdict, reason } = worst
  const tone = outcome === 'failure' && verdict === 'resilient' ? 'bad' : experimentTone(worst)
  return { tone, verdict, sentence: `The experiment ${name} on ${service}: ${verdict}`, reason }
}

/** The worst promotion speaks for all. */
function ofPromotions(all: PromotionReport[], worst: PromotionReport, outcome: Report['outcome']): Headline {
  const { verdict, reason } = worst
  const tone = outcome === 'failure' && toneOf(worst) === 'good' ? 'bad' : toneOf(worst)
  const failed = outcome === 'failure' && verdict === 'promoted' ? ', but the run failed' : ''
  const others = all.length > 1 ? ` (${countVerdicts(all)})` : ''
  return { tone, verdict: verdictName(verdict), sentence: `${promotionSentence(worst)}${failed}${others}`, reason }
}

export function toneOf({ verdict }: Pick<PromotionReport, 'verdict'>): Headline['tone'] {
  if (verdict === 'promoted') return 'good'
  return verdict === 'rolled-back' ? 'bad' : 'open'
}

/** A verdict for people. Outputs and the JSON report have its code. */
export function verdictName(verdict: string): string {
  return verdict === 'rolled-back' ? 'rolled back' : verdict
}

/** In a fleet with its cluster. */
export function canaryName({ cluster, service, canary }: PromotionReport): string {
  return inCluster(`${canary} of ${service}`, cluster)
}

export function promotionSentence(report: PromotionReport): string {
  const { verdict, weight, adopted } = report
  const name = canaryName(report)
  switch (verdict) {
    case 'promoted':
      return `${name} was promoted${adopted ? ', and stable runs it now' : ''}`
    case 'rolled-back':
      return `${name} was rolled back`
    case 'held':
      return `${name} is held at ${weight}%`
    case 'inconclusive':
      return `${name} ended without a decision, at ${weight}%`
    case 'skipped':
      return `${name} was not moved, and stays at ${weight}%`
  }
}

function countVerdicts(all: PromotionReport[]): string {
  const counts = new Map<string, number>()
  for (const { verdict } of all) counts.set(verdictName(verdict), (counts.get(verdictName(verdict)) ?? 0) + 1)
  return `of ${all.length} canaries: ${[...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')}`
}

/** Stages that compare the config with the cluster in a dry run. */
const comparing = ['plan', 'cluster', 'install', 'inject', 'policies', 'observe', 'edge', 'retire', 'uninstall']
const moving = ['promote', 'rollback', 'experiment']

/** `reports`: one, or that of each cluster of a fleet. */
function ofPlan(reports: Report[]): Headline {
  const rows = reports.map(({ plan = [], meshPlan = [], removed = [] }) => [...plan, ...meshPlan, ...removed])
  const would = rows.flat().length
  const stages = reports.flatMap(({ stages }) => stages)
  const parts = [
    ...(would > 0 ? [`${plural(would, 'object')} would change`] : []),
    ...[...new Set(reports.flatMap(actingStages))].map((name) => `the stage ${name} would make changes`),
  ]
  const rendered = reports.filter((report) => report.rendered !== undefined).length
  const isMoving = stages.some(({ name }) => moving.includes(name))
  const isCompared = stages.some(({ name }) => comparing.includes(name)) || would > 0
  const found = parts.length === 0 ? 'No difference from the config was found' : sentenceOf(parts)
  const sentences = [
    ...(rendered < reports.length ? [] : ["Rendered the config's objects; there is no cluster to compare them with"]),
    ...(isCompared ? [`${found}${isMoving ? ', and a dry run moves no traffic' : ''}`] : []),
    ...(isMoving ? ['A dry run moves no traffic'] : []),
    'This dry run has no stage that compares the config with the cluster',
  ]
  const isPartial = rendered > 0 && rendered < reports.length
  const unseen = isPartial ? `; in ${rendered} of ${reports.length} clusters there was nothing to compare with` : ''
  return { tone: 'open', verdict: 'plan', sentence: `${sentences[0]}${unseen}; nothing was changed` }
}

/** Whose changes are no rows of the plan. */
function actingStages({ stages, meshPlan = [] }: Report): string[] {
  const names = ['cluster', 'inject', ...(meshPlan.length === 0 ? ['install'] : [])]
  return stages.flatMap(({ name, outcome }) => (outcome === 'done' && names.includes(name) ? [name] : []))
}

function sentenceOf(parts: string[]): string {
  const text = parts.join(', ')
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

function removalSentence({ removed = [], restarted }: Report): string {
  const restarts = restarted.length === 0 ? '' : `, ${restartsOf(restarted)}`
  return `${removed.length === 0 ? 'there was nothing to remove' : `uninstalled: ${plural(removed.length, 'object')} removed`}${restarts}`
}

const restartsOf = ({ length }: string[]) => `${plural(length, 'workload')} restarted`

/** What the run changed; its parts are what `countChanges` counts. */
export function workText(report: Report): string {
  const { stages, changes, restarted, removed = [], mesh, cluster } = report
  if (stages.some(({ name }) => name === 'uninstall')) return removalSentence(report)
  const changed = countDistinct(changes)
  const parts = [
    ...(cluster?.action === 'created' ? [`the cluster ${cluster.name} created`] : []),
    ...(mesh && mesh.action !== 'unchanged' ? [`Istio ${mesh.version} ${mesh.action}`] : []),
    ...(changed > 0 ? [`${plural(changed, 'object')} changed`] : []),
    ...(restarted.length > 0 ? [restartsOf(restarted)] : []),
    ...(removed.length > 0 ? [`${removed.join(', ')} removed`] : []),
  ]
  if (parts.length > 0) return parts.join(', ')
  // The stage plan shows them also in a run that has no stage that would make them.
  const planned = (report.plan ?? []).length + (report.meshPlan ?? []).length
  return planned > 0 ? `${plural(planned, 'object')} would change; nothing was changed` : 'nothing had to be changed'
}
