// What is simulated: healthy canaries, none of which should be rolled back, and bad ones, all of which should be, soon.
// Plain data.
import type { CanaryConfig } from '../../src/config/schema.ts'
import { promote, planOf, type Outcome } from './ours.ts'
import { randomFrom } from './random.ts'
import { promoteBy, rules } from './rules.ts'
import { traffic, type Bursts, type Users } from './traffic.ts'

export const alpha = 0.01

export type Cell = {
  kind: 'healthy' | 'bad'
  users: Users
  objective: number
  seed: number
  runs: number
  sampleSeconds: number
}

/**
 * `rolledBack`, `inconclusive`: shares of the runs with that verdict. The medians are of all runs; a run that was not
 * rolled back counts as infinitely long, and null means that the median is such a run.
 */
export type RuleResult = {
  rule: string
  rolledBack: number
  inconclusive: number
  medianSeconds: number | null
  medianSamples: number | null
  medianFailures: number | null
}
export type CellResult = Cell & {
  ours: RuleResult
  others: RuleResult[]
  waldBound: number | null
  waldBoundBeside: number | null
}

const rates = [2, 10, 50, 200]

/**
 * Each cell has its own seed. The traffic of each rule is drawn from the same seed, so that all rules get the same kind
 * of users.
 */
export function cells(runs: number): Cell[] {
  const healthy = (['none', 'outages', 'clusters'] as Bursts[]).flatMap((bursts) =>
    [0.001, 0.005, 0.01, 0.05].flatMap((baseline) =>
      rates.map((rate) => ({
        kind: 'healthy' as const,
        users: { rate, baseline, canary: baseline, bursts },
        objective: 1 - Math.max(0.01, 2 * baseline),
        sampleSeconds: rate === 2 ? 2 : 1,
      })),
    ),
  )
  const bad = [0.02, 0.05, 0.2, 1].flatMap((canary) =>
    rates.map((rate) => ({
      kind: 'bad' as const,
      users: { rate, baseline: 0.001, canary, bursts: 'none' as const },
      objective: 0.99,
      sampleSeconds: canary < 0.1 && rate <= 10 ? 10 : 1,
    })),
  )
  // A dependency fails these users on every try, at either version.
  const retried = [50, 200].map((rate) => ({
    kind: 'healthy' as const,
    users: { rate, baseline: 0.005, canary: 0.005, bursts: 'none' as const, retries: 3 },
    objective: 0.99,
    sampleSeconds: 1,
  }))
  return [...healthy, ...retried, ...bad].map((cell, i) => ({ ...cell, seed: 1_000 + i, runs }))
}

/** A healthy canary takes all steps; a bad one stays at 10% until it is found, for half an hour at most. */
function planFor({ kind, objective, sampleSeconds }: Cell): string {
  const successRate = Number((100 * objective).toFixed(6))
  const limits = `successRate: ${successRate}%, falseAlarm: ${100 * alpha}%`
  const checks = `pollInterval: ${sampleSeconds}s, checks: { ${limits} }`
  return kind === 'healthy'
    ? `steps: [5, 25, 50, 100], interval: 10s, ${checks}`
    : `steps: [10, 100], until: 10, interval: 30m, ${checks}`
}

export function simulate(cell: Cell): CellResult {
  const plan = planOf(planFor(cell))
  const ours = summarize('mesh-canary', cell, (users) => promote(plan, users))
  const others = rules.map((rule) => summarize(rule.name, cell, (users) => promoteBy(rule, cell.objective, users)))
  const { canary, baseline } = cell.users
  const bound = (perRequest: number) => (cell.kind === 'bad' ? Math.log(1 / alpha) / perRequest : null)
  return {
    ...cell,
    ours,
    others,
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

function summarize(
  rule: string,
  { users, seed, runs }: Cell,
  promoteOnce: (users: ReturnType<typeof traffic>) => Outcome,
): RuleResult {
  const random = randomFrom(seed)
  const outcomes = Array.from({ length: runs }, () => promoteOnce(traffic(users, random)))
  const rolledBack = outcomes.filter(({ verdict }) => verdict === 'rolled-back')
  const median = (of: (outcome: Outcome) => number) => {
    const value = rolledBack.map(of).sort((a, b) => a - b)[Math.floor(runs / 2)]
    return value === undefined ? null : Number(value.toFixed(2))
  }
  return {
    rule,
    rolledBack: rolledBack.length / runs,
    inconclusive: outcomes.filter(({ verdict }) => verdict === 'inconclusive').length / runs,
    medianSeconds: median(({ seconds }) => seconds),
    medianSamples: median(({ samples }) => samples),
    medianFailures: median(({ failures }) => failures),
  }
}
