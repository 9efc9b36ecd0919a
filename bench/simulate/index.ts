// Simulates hundreds of thousands of promotions: how often a healthy canary is rolled back, and how soon a bad one is
// found, by the state machine that moves real traffic and by the rules of other tools. Virtual time, synthetic users,
// fixed seeds. SIMULATE_RUNS sets the number of promotions in each cell.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { table } from '../mesh/index.ts'
import { alpha, cells, type Cell, type CellResult, type RuleResult } from './cells.ts'

/** Promotions in each cell. */
const runs = Number(process.env['SIMULATE_RUNS'] ?? 10_000)

export async function bench(): Promise<{ table: string; result: object }> {
  const results = await onAllProcessors(cells(runs))
  const worst = (of: (result: CellResult) => number) =>
    Math.max(...results.filter(({ kind }) => kind === 'healthy').map(of))
  const worstFalseRollbackRate = worst(({ ours }) => ours.rolledBack)
  const others = Object.fromEntries(
    results[0]!.others.map(({ rule }, i) => [rule, worst((result) => result.others[i]!.rolledBack)]),
  )
  return {
    table: [
      `Healthy canaries rolled back, of ${runs} each; allowed: α = ${percent(alpha)}. In brackets: inconclusive.`,
      healthyTable(results),
      '\nBad canaries, stable fails 0.1%, objective 99%: median seconds until the decision.\n' +
        'In brackets: the share that was found, unless all were.',
      badTable(results),
      "\nMedian requests to the canary until the decision, at weight 10, and Wald's bound ln(1/α)/KL\n" +
        'for the objective alone and for the comparison with stable.',
      samplesTable(results),
      `\nworst false rollback rate: ${percent(worstFalseRollbackRate)}; of others: ${Object.entries(others)
        .map(([rule, rate]) => `${rule} ${percent(rate)}`)
        .join(', ')}`,
    ].join('\n'),
    result: { worstFalseRollbackRate, worstOfOthers: others, alpha, runs, cells: results.map(flat) },
  }
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
        console.error(
          `${results.length} of ${all.length}: ${nameOf(result)}, seed ${result.seed}: ` +
            `${percent(result.ours.rolledBack)} rolled back`,
        )
        next()
      })
      worker.on('error', reject)
      next()
    })
  await Promise.all(Array.from({ length: availableParallelism() }, runWorker))
  return results.sort((a, b) => a.seed - b.seed)
}

function nameOf({ kind, users }: Cell): string {
  return `${kind}, ${percent(users.canary)} errors, ${users.rate}/s, ${clusteringOf(users)}`
}

function clusteringOf({ bursts, retries }: Cell['users']): string {
  return retries === undefined ? bursts : `${retries} retries`
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))}%`
}

function flat({ users, ours, ...cell }: CellResult): object {
  return {
    ...cell,
    ...users,
    falseRollbackRate: cell.kind === 'healthy' ? ours.rolledBack : undefined,
    medianSecondsToDetect: ours.medianSeconds,
    medianSamplesToDetect: ours.medianSamples,
    ours,
  }
}

const rulesOf = ({ ours, others }: CellResult): RuleResult[] => [ours, ...others]
const rowHead = ({ users, seed }: CellResult) => [
  percent(users.canary),
  `${users.rate}`,
  clusteringOf(users),
  `${seed}`,
]

function healthyTable(results: CellResult[]): string {
  const healthy = results.filter(({ kind }) => kind === 'healthy')
  const cell = ({ rolledBack, inconclusive }: RuleResult) =>
    `${percent(rolledBack)}${inconclusive > 0 ? ` (${percent(inconclusive)})` : ''}`
  return table(
    ['errors', 'req/s', 'bursts', 'seed', ...rulesOf(healthy[0]!).map(({ rule }) => rule)],
    healthy.map((result) => [...rowHead(result), ...rulesOf(result).map(cell)]),
  )
}

function badTable(results: CellResult[]): string {
  const bad = results.filter(({ kind }) => kind === 'bad')
  const cell = ({ rolledBack, medianSeconds }: RuleResult) =>
    `${medianSeconds ?? '–'}${rolledBack < 1 ? ` (${percent(rolledBack)})` : ''}`
  return table(
    ['errors', 'req/s', 'bursts', 'seed', ...rulesOf(bad[0]!).map(({ rule }) => rule)],
    bad.map((result) => [...rowHead(result), ...rulesOf(result).map(cell)]),
  )
}

function samplesTable(results: CellResult[]): string {
  const rows = results
    .filter(({ kind }) => kind === 'bad')
    .map(({ users, ours, waldBound, waldBoundBeside }) => [
      percent(users.canary),
      `${users.rate}`,
      `${ours.medianSamples ?? '–'}`,
      waldBound!.toFixed(1),
      waldBoundBeside!.toFixed(1),
      `${ours.medianFailures ?? '–'}`,
    ])
  return table(['errors', 'req/s', 'requests', "Wald's bound", 'vs stable', 'failed'], rows)
}
