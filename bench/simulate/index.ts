// Simulates a million promotions: how often a healthy canary is rolled back, how often a bad one is promoted, and how soon
// it is found, by the state machine that moves real traffic and by the rules of other tools. Virtual time, synthetic
// users, fixed seeds. SIMULATE_RUNS sets the number of promotions in each cell.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { percent } from '../../src/statistics/percent.ts'
import { table } from '../mesh/index.ts'
import { alpha, beta, cells, type Cell, type CellResult, type RuleResult } from './cells.ts'

/** Promotions in each cell. */
const runs = Number(process.env['SIMULATE_RUNS'] ?? 10_000)

export async function bench(): Promise<{ table: string; result: object }> {
  const results = await onAllProcessors(cells(runs))
  return { table: report(results), result: { ...figuresOf(results), cells: results.map(flat) } }
}

const ofKind = (results: CellResult[], kind: Cell['kind']) => results.filter((result) => result.kind === kind)

/** The figures that are promised, and those of the other rules. */
function figuresOf(results: CellResult[]) {
  const [healthy, bad, found] = [ofKind(results, 'healthy'), ofKind(results, 'bad'), ofKind(results, 'found')]
  const busy = healthy.filter(({ users }) => users.rate >= 10)
  const least = (of: CellResult[]) => Math.min(...of.map(({ ours }) => ours.promoted))
  const compared = bad.filter(({ others }) => others.length > 0)
  return {
    worstFalseRollbackRate: Math.max(...healthy.map(({ ours }) => ours.rolledBack)),
    worstFalsePromotionRate: Math.max(...bad.map(({ ours }) => ours.promoted)),
    healthyPromotedRate: least(busy.filter(({ users }) => users.bursts === 'none')),
    healthyPromotedRateInBursts: least(busy.filter(({ users }) => users.bursts !== 'none')),
    suspicionCostPoints: Number((100 * Math.max(...healthy.map(({ suspicionCost }) => suspicionCost ?? 0))).toFixed(2)),
    meanFailedRequests: compared.map(({ users: { rate, canary }, ours, others }) => ({
      rate,
      canary,
      ...Object.fromEntries([ours, ...others].map(({ rule, meanFailures }) => [rule, meanFailures])),
    })),
    fewerFailedRequestsInEveryCell: compared.every(({ ours, others }) =>
      others.filter(({ rule }) => documented.includes(rule)).every((other) => ours.meanFailures < other.meanFailures),
    ),
    medianSamplesToDetect: found.map(({ users: { rate, canary }, ours, waldBound, waldBoundBeside }) => ({
      rate,
      canary,
      median: ours.medianRequests,
      waldBound,
      waldBoundBeside,
    })),
    worstOfOthers: worstOfOthers(healthy, ({ rolledBack }) => rolledBack),
    worstFalsePromotionsOfOthers: worstOfOthers(bad, ({ promoted }) => promoted),
    alpha,
    beta,
    runs,
    healthyCells: healthy.length,
    badCells: bad.length,
  }
}

/** The rules as their documentation states them, not at their fastest. */
const documented = ['Flagger', 'Argo']

function worstOfOthers(results: CellResult[], of: (result: RuleResult) => number): Record<string, number> {
  const names = results[0]!.others.map(({ rule }) => rule)
  const all = results.flatMap(({ others }) => others)
  return Object.fromEntries(names.map((name) => [name, Math.max(...all.filter(({ rule }) => rule === name).map(of))]))
}

/** Gives the next cell to each worker that is free, the slowest cells first. */
async function onAllProcessors(all: Cell[]): Promise<CellResult[]> {
  const results: CellResult[] = []
  const left = all.toSorted((a, b) => a.users.rate - b.users.rate)
  const runWorker = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url))
      const next = () => {
        const cell = left.shift()
        if (cell) worker.postMessage(cell)
        else void worker.terminate().then(() => resolve())
      }
      worker.on('message', (result: CellResult) => {
        results.push(result)
        console.error(`${results.length} of ${all.length}: ${nameOf(result)}: ${shares(result.ours)}`)
        next()
      })
      worker.on('error', reject)
      next()
    })
  await Promise.all(Array.from({ length: availableParallelism() }, runWorker))
  return results.sort((a, b) => a.seed - b.seed)
}

function nameOf({ kind, users, p99, seed }: Cell): string {
  return `${kind}, ${percent(users.canary)} fail, ${percent(users.slow ?? 0)} slow${p99 ? ' (p99)' : ''}, ${users.rate}/s, ${clusteringOf(users)}, seed ${seed}`
}

function shares({ promoted, rolledBack, inconclusive }: RuleResult): string {
  return `${percent(promoted)} promoted, ${percent(rolledBack)} rolled back, ${percent(inconclusive)} inconclusive`
}

function clusteringOf({ bursts, retries }: Cell['users']): string {
  return retries === undefined ? bursts : `${retries} retries`
}

function flat({ users, ours, ...cell }: CellResult): object {
  return { ...cell, ...users, ours }
}

const rulesOf = ({ ours, others }: CellResult): RuleResult[] => [ours, ...others]

function rowHead({ users, p99 }: CellResult): string[] {
  return [
    percent(users.canary),
    `${percent(users.slow ?? 0)}${p99 ? ' (p99)' : ''}`,
    `${users.rate}`,
    clusteringOf(users),
  ]
}
const headTitles = ['fail', 'slow', 'req/s', 'bursts']

function report(results: CellResult[]): string {
  const figures = figuresOf(results)
  const { worstFalseRollbackRate, worstFalsePromotionRate, healthyPromotedRate, healthyPromotedRateInBursts } = figures
  return [
    `Healthy canaries, ${runs} promotions each: rolled back (allowed: α = ${percent(alpha)}). In brackets: promoted.`,
    rulesTable(
      ofKind(results, 'healthy'),
      ({ rolledBack, promoted }) => `${percent(rolledBack)} (${percent(promoted)})`,
    ),
    `\nBad canaries by the default plan: promoted (allowed: β = ${percent(beta)}). In brackets: mean failed requests.`,
    rulesTable(ofKind(results, 'bad'), ({ promoted, meanFailures }) => `${percent(promoted)} (${meanFailures})`),
    '\nBad canaries at weight 10: median seconds until they are found. In brackets: the share that was, unless all were.',
    rulesTable(
      ofKind(results, 'found'),
      ({ rolledBack, medianSeconds }) => `${medianSeconds ?? '–'}${rolledBack < 1 ? ` (${percent(rolledBack)})` : ''}`,
    ),
    "\nMedian requests to the canary until the decision, at weight 10, and Wald's bound ln(1/α)/KL\n" +
      'for the objective alone and for the comparison with stable.',
    samplesTable(ofKind(results, 'found')),
    `\nworst false rollback rate ${percent(worstFalseRollbackRate)}; worst false promotion rate ` +
      `${percent(worstFalsePromotionRate)}; healthy canaries promoted from 10/s on: ${percent(healthyPromotedRate)} or ` +
      `more, with bursts of failures ${percent(healthyPromotedRateInBursts)}; fewer failed requests than the documented ` +
      `rules in every cell: ${figures.fewerFailedRequestsInEveryCell ? 'yes' : 'no'}`,
  ].join('\n')
}

function rulesTable(results: CellResult[], cell: (result: RuleResult) => string): string {
  const names = rulesOf(results[0]!).map(({ rule }) => rule)
  const cellOf = (result: CellResult, name: string) => {
    const found = rulesOf(result).find(({ rule }) => rule === name)
    return found ? cell(found) : '–'
  }
  return table(
    [...headTitles, ...names],
    results.map((result) => [...rowHead(result), ...names.map((name) => cellOf(result, name))]),
  )
}

function samplesTable(results: CellResult[]): string {
  const rows = results.map(({ users, ours, waldBound, waldBoundBeside }) => [
    percent(users.canary),
    `${users.rate}`,
    `${ours.medianRequests ?? '–'}`,
    waldBound!.toFixed(1),
    waldBoundBeside!.toFixed(1),
    `${ours.medianFailures ?? '–'}`,
  ])
  return table(['fail', 'req/s', 'requests', "Wald's bound", 'vs stable', 'failed'], rows)
}
