// What a poll costs, by the number of canaries that one run promotes.
import type { Command } from './command.ts'
import { mean } from './growth.ts'
import { serviceName } from './layout.ts'
import type { Activity } from './usage.ts'
import { forEachSize, placesOf, serviceObject, type World } from './world.ts'

/** A poll: from its first request to its last answer. */
export type CanariesRow = {
  size: number
  pollSeconds: number
  requestsPerPoll: number
  requestsPerSecond: number
  watches: number
  peakBytes: number
}

/** Of each service. */
const pods = { stable: 4, canary: 2, client: 2 }
const watchMs = 25_000
/** The last part of it: the run has settled. */
const measuredMs = 15_000

export function measureCanaries(world: World, command: Command, sizes: number[]): Promise<CanariesRow[]> {
  return forEachSize(world, 'scale-canaries', sizes, async (size, namespace) => {
    const numbers = Array.from({ length: size }, (_, i) => i)
    await world.create(numbers.map((each) => serviceObject(namespace, each)))
    const places = numbers.flatMap((each) => placesOf(pods, each))
    await world.createPods(namespace, places, true)
    return measureRun(command, namespace, size)
  })
}

/** No step ends in that time. `hold`: a rollback would wait until the canary serves no more, which these never do. */
async function measureRun(command: Command, namespace: string, size: number): Promise<CanariesRow> {
  const services = Array.from({ length: size }, (_, i) => serviceName(i))
  const subsets = { stable: { version: 'stable' }, canary: { version: 'canary' } }
  const config = command.config('canaries', {
    namespace,
    services: Object.fromEntries(
      services.map((name) => [name, { port: 80, subsets, traffic: { stable: 100, canary: 0 } }]),
    ),
    canaries: services.map((service) => ({
      service,
      stable: 'stable',
      canary: 'canary',
      steps: [50, 100],
      interval: '10m',
      progressDeadline: '10m',
      guard: 'off',
      onCancel: 'hold',
    })),
  })
  await command.run(['run', '--stages', 'policies', '--config', config])
  const { cost, activities, interruptedAt } = await command.run(['promote', '--config', config], {
    interruptFrom: /weight/,
    interruptAfterMs: watchMs,
  })
  const until = interruptedAt!
  const seen = activities.filter(({ from, to }) => from > until - measuredMs && to >= from && to < until)
  const polls = pollsOf(seen)
  return {
    size,
    pollSeconds: mean(polls.map(({ from, to }) => (to - from) / 1_000)),
    requestsPerPoll: mean(polls.map(({ requests }) => requests)),
    requestsPerSecond: seen.length / (measuredMs / 1_000),
    watches: cost.requests - activities.length,
    peakBytes: cost.peakBytes,
  }
}

type Poll = { from: number; to: number; requests: number }

/** Between two polls a run sends nothing for longer than that: a pause is half of `pollInterval` (1 s) or more. */
const silenceMs = 300

/** Without the first and the last, which may be parts. */
function pollsOf(activities: readonly Activity[]): Poll[] {
  const polls: Poll[] = []
  for (const { from, to } of activities.toSorted((a, b) => a.from - b.from)) {
    const last = polls.at(-1)
    if (last && from < last.to + silenceMs)
      polls[polls.length - 1] = { ...last, to: Math.max(last.to, to), requests: last.requests + 1 }
    else polls.push({ from, to, requests: 1 })
  }
  return polls.slice(1, -1)
}
