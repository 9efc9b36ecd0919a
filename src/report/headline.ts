// What a run came to, in one sentence. Pure.
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
  const all = <Row>(rows: (report: Report) => Row[] | undefined) => clusters.flatMap(({ report }) => rows(report) ?? [])
  if (report.dryRun && report.outcome === 'success') {
    const [plan, meshPlan, removed] = [
      all(({ plan }) => plan),
      all(({ meshPlan }) => meshPlan),
      all(({ removed }) => removed),
    ]
    return ofPlan({ ...report, plan, meshPlan, removed })
  }
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
  const sentence = verdict === 'rolled-back' ? 'The traffic was returned to stable' : 'No traffic was moved'
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

function ofPlan({ rendered, plan = [], meshPlan = [], removed = [] }: Report): Headline {
  const would = plan.length + meshPlan.length + removed.length
  const change = would === 0 ? 'Everything is as the config says' : `${objects(would)} would change`
  const sentence = rendered === undefined ? change : 'The objects of the config, without a cluster to compare them with'
  return { tone: 'open', verdict: 'plan', sentence: `${sentence}; nothing was changed` }
}

const objects = (count: number) => `${count} ${count === 1 ? 'object' : 'objects'}`

function removalSentence({ removed = [] }: Report): string {
  return removed.length === 0 ? 'There was nothing to uninstall' : `Uninstalled: ${objects(removed.length)} removed`
}

function meshSentence({ changes, restarted }: Report): string {
  if (changes.length + restarted.length === 0) return 'Everything was as the config says already'
  return `The mesh is as the config says: ${changes.length} changes, ${restarted.length} restarts`
}
