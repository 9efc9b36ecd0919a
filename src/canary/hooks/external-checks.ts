// What is asked of others while a canary is under way: queries, commands and rollout hooks, each on its own period and in
// the background, so that no look waits for them.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from '../../cluster/client.ts'
import type { CanaryConfig } from '../../config/schema.ts'
import { runCheckCommand } from './commands.ts'
import type { Answer, Finding, PromotionStatus } from './finding.ts'
import { runQuery, prometheusClient } from '../metrics/prometheus.ts'
import { callWebhook } from './webhooks.ts'
import { monotonicNow } from '../../runtime/clock.ts'

export type { PromotionStatus } from './finding.ts'

export type ExternalChecks = {
  start: () => void
  /** The last answer of each, once it has one. */
  latest: () => Finding[]
  /** Ends what is running. */
  stop: () => void
}

/** `late`: it is first asked after one period, as what it tells is of the time before. */
type Check = {
  name: string
  every?: number | undefined
  failures: number
  late?: boolean
  ask: (signal: AbortSignal) => Promise<Answer>
}

export function createExternalChecks(
  cluster: Cluster,
  plan: CanaryConfig,
  outside: () => PromotionStatus,
): ExternalChecks {
  const stopping = new AbortController()
  const latest = new Map<string, Finding>()
  return {
    start: () =>
      checksOf(cluster, plan, outside).forEach(
        (check) =>
          void repeat(check, Math.max(plan.pollInterval, check.every ?? plan.interval), latest, stopping.signal),
      ),
    latest: () => [...latest.values()],
    stop: () => stopping.abort(),
  }
}

function checksOf(cluster: Cluster, plan: CanaryConfig, outside: () => PromotionStatus): Check[] {
  const { queries, commands } = plan.checks
  const query = plan.prometheus && prometheusClient(cluster, plan.prometheus)
  const rollout = Object.entries(plan.webhooks).filter(([, { type }]) => type === 'rollout')
  return [
    ...(query
      ? Object.entries(queries).map(([name, each]) => ({
          name,
          every: each.every,
          failures: each.failures,
          late: true,
          ask: () => runQuery(query, each, outside()),
        }))
      : []),
    ...Object.entries(commands).map(([name, each]) => ({
      name,
      every: each.every,
      failures: each.failures,
      ask: (signal: AbortSignal) => runCheckCommand(each, outside(), signal),
    })),
    ...rollout.map(([name, each]) => ({
      name,
      every: each.every,
      failures: each.failures,
      ask: () => callWebhook(plan, each, outside()),
    })),
  ]
}

/** One after the other, never two at once: what takes longer than its period is asked again when it has answered. */
async function repeat(
  { name, failures, late, ask }: Check,
  everyMs: number,
  latest: Map<string, Finding>,
  signal: AbortSignal,
): Promise<void> {
  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined)
  const stopped = () => signal.aborted
  if (late) await pause(everyMs)
  for (let inARow = 0; !stopped(); ) {
    const from = monotonicNow()
    const answer = await ask(signal)
    if (stopped()) return
    if (answer.state !== 'undecided') inARow = answer.state === 'fail' ? inARow + 1 : 0
    const early = answer.state === 'fail' && inARow < failures
    latest.set(name, {
      name,
      at: monotonicNow(),
      ...(early
        ? { state: 'undecided', text: `${answer.text} (failed ${inARow} of ${failures} times in a row)` }
        : answer),
    })
    await pause(Math.max(0, from + everyMs - monotonicNow()))
  }
}
