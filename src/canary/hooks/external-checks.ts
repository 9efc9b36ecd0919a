// Repeats the user's checks during a promotion: queries, commands and rollout webhooks. Each has its own period and
// runs in the background, so that no sample waits for it.
import type { Cluster } from '../../cluster/client.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { prometheusClient } from '../../observability/metrics/prometheus-client.ts'
import type { CheckAnswer, Finding } from '../state/finding.ts'
import { runCheckCommand } from './commands.ts'
import type { PromotionStatus } from './promotion-status.ts'
import { runQuery } from './queries.ts'
import { callWebhook } from './webhooks.ts'

export type ExternalChecks = {
  start: () => void
  /** The last answer of each check that has answered. */
  latest: () => Finding[]
  /** Stops the running checks. */
  stop: () => void
}

/** Runs a check every `everyMs`; it fails the canary after this many failures in a row. */
type Check = {
  name: string
  everyMs: number
  failures: number
  /** Waits one period before its first run. */
  startsLate: boolean
  run: (signal: AbortSignal) => Promise<CheckAnswer>
}

export function createExternalChecks(
  cluster: Cluster,
  plan: CanaryConfig,
  status: () => PromotionStatus,
  clock: Clock = systemClock,
): ExternalChecks {
  const stopping = new AbortController()
  const latest = new Map<string, Finding>()
  return {
    start: () => checksOf(cluster, plan, status).forEach((check) => void repeat(check, latest, clock, stopping.signal)),
    latest: () => [...latest.values()],
    stop: () => stopping.abort(),
  }
}

function checksOf(cluster: Cluster, plan: CanaryConfig, status: () => PromotionStatus): Check[] {
  return [
    ...queryChecks(cluster, plan, status),
    ...Object.entries(plan.checks.commands).map(([name, command]) => ({
      ...scheduleOf(plan, name, command),
      run: (signal: AbortSignal) => runCheckCommand(command, status(), signal),
    })),
    ...Object.entries(plan.webhooks)
      .filter(([, { type }]) => type === 'rollout')
      .map(([name, webhook]) => ({
        ...scheduleOf(plan, name, webhook),
        run: () => callWebhook(plan, webhook, status()),
      })),
  ]
}

/** A query waits one period, because its answer is about the time before. */
function queryChecks(cluster: Cluster, plan: CanaryConfig, status: () => PromotionStatus): Check[] {
  if (!plan.prometheus) return []
  const prometheus = prometheusClient(cluster, plan.prometheus)
  return Object.entries(plan.checks.queries).map(([name, query]) => ({
    ...scheduleOf(plan, name, query),
    startsLate: true,
    run: () => runQuery(prometheus, query, status()),
  }))
}

/** A check runs once per `interval` unless it has its own period, and never more often than the evidence is sampled. */
function scheduleOf(
  { pollInterval, interval }: CanaryConfig,
  name: string,
  { every, failures }: { every?: number | undefined; failures: number },
): Omit<Check, 'run'> {
  return { name, everyMs: Math.max(pollInterval, every ?? interval), failures, startsLate: false }
}

/**
 * Never runs a check twice at the same time. A check that takes longer than its period runs again as soon as it has
 * answered.
 */
async function repeat(
  { name, everyMs, failures, startsLate, run }: Check,
  latest: Map<string, Finding>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const pause = (ms: number) => clock.sleep(ms, signal).catch(() => undefined)
  const isStopped = () => signal.aborted
  if (startsLate) await pause(everyMs)
  for (let failedInARow = 0; !isStopped(); ) {
    const startedAt = clock.now()
    const answer = await run(signal)
    if (isStopped()) return
    if (answer.state !== 'undecided') failedInARow = answer.state === 'fail' ? failedInARow + 1 : 0
    latest.set(name, { name, at: clock.now(), ...tolerate(answer, failedInARow, failures) })
    await pause(Math.max(0, startedAt + everyMs - clock.now()))
  }
}

/** A failure is undecided until there are enough of them in a row. */
function tolerate(answer: CheckAnswer, failedInARow: number, failures: number): CheckAnswer {
  if (answer.state !== 'fail' || failedInARow >= failures) return answer
  return { state: 'undecided', text: `${answer.text} (failed ${failedInARow} of ${failures} times in a row)` }
}
