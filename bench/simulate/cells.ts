// What is simulated: healthy canaries, which should be promoted; bad ones, which should not be; and how soon a bad one is
// found. Plain data.
import { loadConfig } from '../../src/config/load.ts'
import type { CanaryConfig } from '../../src/config/schema.ts'
import { promote, type Outcome } from '../../src/simulate/promotion.ts'
import { randomFrom } from '../../src/simulate/random.ts'
import { healthySlow, traffic, type Bursts, type Traffic, type Users } from '../../src/simulate/traffic.ts'
import { promoteBy, rules } from './rules.ts'

export const alpha = 0.01
export const beta = 0.05

/**
 * `healthy`: the canary is as good as stable, at half its limit or better. `bad`: it is at the tolerance or beyond.
 * Both by the default plan. `found`: a bad one stays at 10% until it is found. `p99`: the plan has a limit on latency.
 */
export type Cell = {
  kind: 'healthy' | 'bad' | 'found'
  users: Users
  objective: number
  p99: boolean
  seed: number
  runs: number
  sampleSeconds: number
}

/**
 * `rolledBack`, `promoted`, `inconclusive`: shares of the runs with that verdict. `meanFailures`: failed requests of the
 * canary until the verdict. The medians are of all runs; a run that was not rolled back counts as infinitely long, and
 * null means that the median is such a run.
 */
export type RuleResult = {
  rule: string
  rolledBack: number
  promoted: number
  inconclusive: number
  meanFailures: number
  medianSeconds: number | null
  medianRequests: number | null
  medianFailures: number | null
  meanSeconds: number
}
export type CellResult = Cell & {
  ours: RuleResult
  others: RuleResult[]
  /** The share of the runs that suspicion alone kept from promotion; null for canaries that are not healthy. */
  suspicionCost: number | null
  waldBound: number | null
  waldBoundBeside: number | null
}

const rates = [2, 10, 50, 200]

/** Each run of a cell has its own seed. The traffic of each rule is drawn from it, so that all get the same users. */
export function cells(runs: number): Cell[] {
  const all = [...healthyCells(), ...badCells(), ...foundCells()]
  return all.map((cell, i) => ({ p99: false, objective: 0.99, sampleSeconds: 1, ...cell, seed: 1_000 + i, runs }))
}

type CellSettings = Pick<Cell, 'kind' | 'users'> & Partial<Cell>

function healthyCells(): CellSettings[] {
  const failing = (['none', 'outages', 'clusters'] as Bursts[]).flatMap((bursts) =>
    [0.001, 0.005, 0.01, 0.05].flatMap((baseline) =>
      rates.map((rate) => ({
        kind: 'healthy' as const,
        users: { rate, baseline, canary: baseline, bursts, slow: healthySlow },
        objective: 1 - Math.max(0.01, 2 * baseline),
      })),
    ),
  )
  const slow = rates.map((rate) => ({
    kind: 'healthy' as const,
    users: { rate, baseline: 0.001, canary: 0.001, bursts: 'none' as const, slow: healthySlow },
    p99: true,
  }))
  // A dependency fails these users on every try, at either version.
  const retried = [50, 200].map((rate) => ({
    kind: 'healthy' as const,
    users: { rate, baseline: 0.005, canary: 0.005, bursts: 'none' as const, slow: healthySlow, retries: 3 },
  }))
  return [...failing, ...slow, ...retried]
}

/** The limits are 1%, and 1.5 times stable's slow requests, which are at most 1%; the tolerance is 2. */
function badCells(): CellSettings[] {
  const users = { baseline: 0.001, bursts: 'none' as const }
  const failing = [0.02, 0.03, 0.05, 0.2, 1].map((canary) => ({ canary, slow: healthySlow, p99: false }))
  const slow = [0.03, 0.06, 0.2].map((share) => ({ canary: 0.001, slow: share, p99: false }))
  const overLimit = [0.02, 0.05].map((share) => ({ canary: 0.001, slow: share, p99: true }))
  return [...failing, ...slow, ...overLimit].flatMap(({ canary, slow, p99 }) =>
    rates.map((rate) => ({ kind: 'bad' as const, users: { ...users, rate, canary, slow }, p99 })),
  )
}

function foundCells(): CellSettings[] {
  return [0.02, 0.05, 0.2, 1].flatMap((canary) =>
    rates.map((rate) => ({
      kind: 'found' as const,
      users: { rate, baseline: 0.001, canary, bursts: 'none' as const, slow: healthySlow },
      sampleSeconds: canary < 0.1 && rate <= 10 ? 10 : 0.25,
    })),
  )
}

/** A bad canary that is to be found stays at 10% for half an hour at most. */
function planFor({ kind, objective, p99, sampleSeconds }: Cell): CanaryConfig {
  const limits = `successRate: ${Number((100 * objective).toFixed(6))}%${p99 ? ', p99: 500ms' : ''}`
  const stay = kind === 'found' ? 'steps: [10, 100], until: 10, interval: 30m, ' : ''
  const settings = `${stay}pollInterval: ${1_000 * sampleSeconds}ms, checks: { ${limits} }`
  return loadConfig({ INPUT_CANARY: `{ service: backend, ${settings} }` }).canary!
}

/** The rules of other tools have no limit on latency here, so they are measured where requests fail. */
export function simulate(cell: Cell): CellResult {
  const plan = planFor(cell)
  const outcomes = outcomesOf(cell, (users) => promote(plan, users))
  const { canary, baseline, slow } = cell.users
  const compared = cell.p99 || (slow ?? 0) > healthySlow ? [] : rules
  const others = compared.map((rule) =>
    summarize(
      rule.name,
      outcomesOf(cell, (users) => promoteBy(rule, cell.objective, users)),
    ),
  )
  const bound = (perRequest: number) => (cell.kind === 'found' ? Math.log(1 / alpha) / perRequest : null)
  return {
    ...cell,
    ours: summarize('mesh-canary', outcomes),
    others,
    suspicionCost: cell.kind === 'healthy' ? suspicionCost(cell, plan, outcomes) : null,
    waldBound: bound(divergence(canary, 1 - cell.objective)),
    waldBoundBeside: bound(informationVsStable(canary, baseline, plan)),
  }
}

/**
 * The evidence, in nats, that one request of the canary gives for failing more than `margin` times as often as
 * stable, when stable gets the other requests.
 */
function informationVsStable(
  canary: number,
  stable: number,
  {
    steps,
    checks: {
      noWorseThanStable: { margin },
    },
  }: CanaryConfig,
): number {
  const odds = steps[0]! / (100 - steps[0]!)
  const logStable = Math.log((1 + odds * margin) / (1 + (odds * canary) / stable))
  return canary * (Math.log(canary / stable / margin) + logStable) + (stable / odds) * logStable
}

/** KL(p‖q) in nats: the evidence in one request of a canary that fails p of its requests, against a limit of q. */
function divergence(p: number, q: number): number {
  const term = (a: number, b: number) => (a === 0 ? 0 : a * Math.log(a / b))
  return term(p, q) + term(1 - p, 1 - q)
}

type PromoteOnce = (users: Traffic) => Outcome

function outcomesOf(cell: Cell, promoteOnce: PromoteOnce): Outcome[] {
  return Array.from({ length: cell.runs }, (_, run) => promoteOnce(trafficOf(cell, run)))
}

function trafficOf({ users, seed, runs }: Cell, run: number): Traffic {
  return traffic(users, randomFrom(seed * runs + run))
}

/** Runs again, with the same users, what was suspected and not promoted, and ignores the suspicion. */
function suspicionCost(cell: Cell, plan: CanaryConfig, outcomes: Outcome[]): number {
  const trusted = outcomes.filter(
    ({ verdict, wasSuspected }, run) =>
      wasSuspected &&
      verdict !== 'promoted' &&
      promote(plan, trafficOf(cell, run), { ignoresSuspicion: true }).verdict === 'promoted',
  )
  return trusted.length / cell.runs
}

function summarize(rule: string, outcomes: Outcome[]): RuleResult {
  const runs = outcomes.length
  const share = (wanted: Outcome['verdict']) => outcomes.filter(({ verdict }) => verdict === wanted).length / runs
  const mean = (of: (outcome: Outcome) => number) =>
    Number((outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / runs).toFixed(2))
  const rolledBack = outcomes.filter(({ verdict }) => verdict === 'rolled-back')
  const median = (of: (outcome: Outcome) => number) => {
    const value = rolledBack.map(of).sort((a, b) => a - b)[Math.floor(runs / 2)]
    return value === undefined ? null : Number(value.toFixed(2))
  }
  return {
    rule,
    rolledBack: share('rolled-back'),
    promoted: share('promoted'),
    inconclusive: share('inconclusive'),
    meanFailures: mean(({ failures }) => failures),
    meanSeconds: mean(({ seconds }) => seconds),
    medianSeconds: median(({ seconds }) => seconds),
    medianRequests: median(({ requests }) => requests),
    medianFailures: median(({ failures }) => failures),
  }
}
