// What a run came to, in one sentence. Pure.
import { countChanges } from './count-changes.ts'
import { cutText } from './cut-text.ts'
import { worstExperiment, type ExperimentReport } from './experiment-report.ts'
import { worstPromotion, type ClusterResult, type PromotionReport, type Report } from './report.ts'

/** `tone`: `good` only if all went well; `open` if nothing was decided, or nothing had to be. */
export type Headline = { tone: 'good' | 'bad' | 'open'; verdict: string; sentence: string; reason?: string }

export function headline(report: Report): Headline {
  const { promotions, outcome, error, dryRun, stages, clusters } = report
  if (clusters) return ofFleet(report, clusters)
  const promotion = worstPromotion(promotions)
  if (promotion) return ofPromotions(promotions, promotion, outcome)
  const experiment = worstExperiment(report.experiments ?? [])
  if (experiment) return ofExperiment(experiment, outcome)
  if (outcome === 'failure') {
    const [first = 'no reason is known', ...rest] = (error ?? '').split('\n').filter(Boolean)
    return { tone: 'bad', verdict: 'failed', sentence: `The run failed: ${first}`, ...more(rest) }
  }
  if (dryRun) return ofPlan(report)
  if (report.verdict !== undefined) return ofRollback(report.verdict, report.reason)
  const isRemoved = stages.some(({ name }) => name === 'uninstall')
  return { tone: 'good', verdict: 'done', sentence: isRemoved ? removalSentence(report) : meshSentence(report) }
}

/** How each cluster has ended, or all that would change. */
function ofFleet({ reason, ...report }: Report, clusters: ClusterResult[]): Headline {
  if (report.dryRun && report.outcome === 'success')
    return ofPlan({ ...report, stages: clusters.flatMap(({ report }) => report.stages) })
  const verdict = report.verdict ?? (report.outcome === 'success' ? 'done' : 'failed')
  const sentence = clusters.map(({ name, report }) => `${name}: ${report.verdict ?? report.outcome}`).join('; ')
  const tone =
    report.outcome === 'failure' ? 'bad' : report.verdict === undefined ? 'good' : toneOf({ verdict: report.verdict })
  return { tone, verdict, sentence, ...(reason === undefined ? {} : { reason }) }
}

const icons = { good: '✅', bad: '⛔', open: '⚪' }

/** The headline in a line of Markdown. */
export function headlineText(report: Report): string {
  const { tone, verdict, sentence } = headline(report)
  const icon = verdict === 'plan' ? '📋' : icons[report.outcome === 'failure' ? 'bad' : tone]
  return `${icon} ${cutText(sentence, mostCharacters)}`
}

const mostCharacters = 200

/** A verdict without a promotion is that of the stage rollback. */
function ofRollback(verdict: PromotionReport['verdict'], reason: string | undefined): Headline {
  const sentences: Partial<Record<typeof verdict, string>> = {
    'rolled-back': 'The traffic was returned to stable',
    skipped: 'No traffic was moved',
  }
  const sentence = sentences[verdict] ?? 'It is not seen that the traffic is back on stable'
  return { tone: 'open', verdict: verdictName(verdict), sentence, ...(reason === undefined ? {} : { reason }) }
}

function more(rest: string[]): { reason?: string } {
  return rest.length > 0 ? { reason: rest.join(' ') } : {}
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

export function verdictName(verdict: PromotionReport['verdict']): string {
  return verdict === 'rolled-back' ? 'rolled back' : verdict
}

/** In a fleet with its cluster. */
export function canaryName({ cluster, service, canary }: PromotionReport): string {
  return `${canary} of ${service}${cluster === undefined ? '' : ` in ${cluster}`}`
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

/** Stages that move traffic. A dry run does not say what they would come to. */
const moving = new Set(['promote', 'experiment', 'rollback'])

function ofPlan(report: Report): Headline {
  const { rendered, stages } = report
  const would = countChanges(report)
  const change = would === 0 ? 'No change is planned' : `${changes(would)} planned`
  const sentence = rendered === undefined ? change : 'The objects of the config, without a cluster to compare them with'
  const traffic = stages.some(({ name }) => moving.has(name)) ? ', and a dry run moves no traffic' : ''
  return { tone: 'open', verdict: 'plan', sentence: `${sentence}${traffic}; nothing was changed` }
}

const changes = (count: number) => `${count} ${count === 1 ? 'change is' : 'changes are'}`

function removalSentence({ removed = [] }: Report): string {
  const { length } = removed
  return length === 0
    ? 'There was nothing to uninstall'
    : `Uninstalled: ${length} ${length === 1 ? 'object' : 'objects'} removed`
}

function meshSentence(report: Report): string {
  const count = countChanges(report)
  if (count === 0) return 'Everything was as the config says already'
  return `The mesh is as the config says: ${count} ${count === 1 ? 'change' : 'changes'}`
}
