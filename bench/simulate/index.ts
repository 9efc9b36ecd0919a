// Promotions by the hundred thousand: how often a healthy canary is put back, and how soon a bad one is found, by the same
// state machine that moves real traffic and by what others decide by. Virtual time and synthetic users; the seeds are fixed.
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { table } from '../mesh/index.ts'
import { alpha, cells, type Cell, type CellResult, type Tried } from './cells.ts'

/** Runs of each cell. */
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
      `Healthy canaries put back, of ${runs} each; allowed: α = ${percent(alpha)}. In brackets: ended inconclusive.`,
      healthyTable(results),
      `\nBad canaries, stable fails 0.1%, objective 99%: median seconds until the decision, and in brackets the share found where that is not all.`,
      badTable(results),
      `\nMedian requests of the canary until the decision, at weight 10, beside Wald's bound ln(1/α)/KL,\nof the objective alone, and of failures beside stable's.`,
      samplesTable(results),
      `\nworst false rollback rate: ${percent(worstFalseRollbackRate)}; of others: ${Object.entries(others)
        .map(([rule, rate]) => `${rule} ${percent(rate)}`)
        .join(', ')}`,
    ].join('\n'),
    result: { worstFalseRollbackRate, worstOfOthers: others, alpha, runs, cells: results.map(flat) },
  }
}

/** The cells, shared out among workers as each gets free; the slowest first. */
async function onAllProcessors(all: Cell[]): Promise<CellResult[]> {
  const results: CellResult[] = []
  const left = all.toSorted((a, b) => a.users.rate - b.users.rate)
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url))
      const more = () => {
        const cell = left.shift()
        if (cell) worker.postMessage(cell)
        else void worker.terminate().then(() => resolve())
      }
      worker.on('message', (result: CellResult) => {
        results.push(result)
        console.error(
          `${results.length} of ${all.length}: ${nameOf(result)}, seed ${result.seed}: ${percent(result.ours.rolledBack)} put back`,
        )
        more()
      })
      worker.on('error', reject)
      more()
    })
  await Promise.all(Array.from({ length: availableParallelism() }, work))
  return results.sort((a, b) => a.seed - b.seed)
}

function nameOf({ kind, users }: Cell): string {
  return `${kind}, ${percent(users.canary)} errors, ${users.rate}/s${users.bursts === 'none' ? '' : `, ${users.bursts}`}`
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

const rulesOf = ({ ours, others }: CellResult): Tried[] => [ours, ...others]
const rowHead = ({ users, seed }: CellResult) => [percent(users.canary), `${users.rate}`, users.bursts, `${seed}`]

function healthyTable(results: CellResult[]): string {
  const healthy = results.filter(({ kind }) => kind === 'healthy')
  const cell = ({ rolledBack, inconclusive }: Tried) =>
    `${percent(rolledBack)}${inconclusive > 0 ? ` (${percent(inconclusive)})` : ''}`
  return table(
    ['errors', 'req/s', 'bursts', 'seed', ...rulesOf(healthy[0]!).map(({ rule }) => rule)],
    healthy.map((result) => [...rowHead(result), ...rulesOf(result).map(cell)]),
  )
}

function badTable(results: CellResult[]): string {
  const bad = results.filter(({ kind }) => kind === 'bad')
  const cell = ({ rolledBack, medianSeconds }: Tried) =>
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
  return table(['errors', 'req/s', 'requests', "Wald's bound", 'beside stable', 'failed'], rows)
}
