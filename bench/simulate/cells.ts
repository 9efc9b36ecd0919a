// What is simulated: healthy canaries, of which none should be put back, and bad ones, of which all should be, soon. Plain data.
import type { CanaryConfig } from '../../src/config/schema.ts'
import { promote, planOf, type Outcome } from './ours.ts'
import { randomFrom } from './random.ts'
import { judgeBy, rules } from './rules.ts'
import { traffic, type Bursts, type Users } from './traffic.ts'

export const alpha = 0.01

export type Cell = {
  kind: 'healthy' | 'bad'
  users: Users
  objective: number
  seed: number
  runs: number
  tickSeconds: number
}

/** `rolledBack`: share of the runs that were put back by a verdict; medians are of all runs, with those never put back as the longest: null where that is the median. */
export type Tried = {
  rule: string
  rolledBack: number
  inconclusive: number
  medianSeconds: number | null
  medianSamples: number | null
  medianFailures: number | null
}
export type CellResult = Cell & {
  ours: Tried
  others: Tried[]
  waldBound: number | null
  waldBoundBeside: number | null
}

const rates = [2, 10, 50, 200]

/** Each cell has its own seed; the traffic of a rule is drawn from it anew, so that all rules meet the same kind of users. */
export function cells(runs: number): Cell[] {
  const healthy = (['none', 'outages', 'clusters'] as Bursts[]).flatMap((bursts) =>
    [0.001, 0.005, 0.01, 0.05].flatMap((baseline) =>
      rates.map((rate) => ({
        kind: 'healthy' as const,
        users: { rate, baseline, canary: baseline, bursts },
        objective: 1 - Math.max(0.01, 2 * baseline),
        tickSeconds: rate === 2 ? 2 : 1,
      })),
    ),
  )
  const bad = [0.02, 0.05, 0.2, 1].flatMap((canary) =>
    rates.map((rate) => ({
      kind: 'bad' as const,
      users: { rate, baseline: 0.001, canary, bursts: 'none' as const },
      objective: 0.99,
      tickSeconds: canary < 0.1 && rate <= 10 ? 10 : 1,
    })),
  )
  return [...healthy, ...bad].map((cell, i) => ({ ...cell, seed: 1_000 + i, runs }))
}

/** A healthy canary goes the whole way; a bad one stays at 10 % until it is found, for half an hour at most. */
function planFor({ kind, objective, tickSeconds }: Cell): string {
  const look = `pollInterval: ${tickSeconds}s, checks: { successRate: ${Number((100 * objective).toFixed(6))}%, falseAlarm: ${100 * alpha}% }`
  return kind === 'healthy'
    ? `steps: [5, 25, 50, 100], interval: 10s, ${look}`
    : `steps: [10, 100], until: 10, interval: 30m, ${look}`
}

export function simulate(cell: Cell): CellResult {
  const plan = planOf(planFor(cell))
  const ours = tried('mesh-canary', cell, (users) => promote(plan, users))
  const others = rules.map((rule) => tried(rule.name, cell, (users) => judgeBy(rule, cell.objective, users)))
  const { canary, baseline } = cell.users
  const bound = (perRequest: number) => (cell.kind === 'bad' ? Math.log(1 / alpha) / perRequest : null)
  return {
    ...cell,
    ours,
    others,
    waldBound: bound(divergence(canary, 1 - cell.objective)),
    waldBoundBeside: bound(besideStable(canary, baseline, plan)),
  }
}

/** What one request of the canary tells of its failing more than `margin` times as often as stable, when stable gets the rest. */
function besideStable(
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
  const less = Math.log((1 + odds * margin) / (1 + (odds * canary) / stable))
  return canary * (Math.log(canary / stable / margin) + less) + (stable / odds) * less
}

/** KL(p‖q) in nats: what one request of a canary that fails p of its requests tells against a limit of q. */
function divergence(p: number, q: number): number {
  const term = (a: number, b: number) => (a === 0 ? 0 : a * Math.log(a / b))
  return term(p, q) + term(1 - p, 1 - q)
}

function tried(rule: string, { users, seed, runs }: Cell, once: (users: ReturnType<typeof traffic>) => Outcome): Tried {
  const random = randomFrom(seed)
  const outcomes = Array.from({ length: runs }, () => once(traffic(users, random)))
  const caught = outcomes.filter(({ verdict }) => verdict === 'rolled-back')
  const median = (of: (outcome: Outcome) => number) => {
    const value = caught.map(of).sort((a, b) => a - b)[Math.floor(runs / 2)]
    return value === undefined ? null : Number(value.toFixed(2))
  }
  return {
    rule,
    rolledBack: caught.length / runs,
    inconclusive: outcomes.filter(({ verdict }) => verdict === 'inconclusive').length / runs,
    medianSeconds: median(({ seconds }) => seconds),
    medianSamples: median(({ samples }) => samples),
    medianFailures: median(({ failures }) => failures),
  }
}
