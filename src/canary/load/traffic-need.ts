// Whether the traffic can support a plan: the requests that certify a canary, and those that it gets in time. Pure.
import type { CanaryConfig } from '../../config/schema.ts'
import { requestsToCertify } from '../analysis/checks.ts'
import { defaultMaxRate } from './demand.ts'
import { stagesOf } from '../state/stages.ts'
import type { Stage } from '../state/types.ts'

/** One warning if the canary gets too few requests for its last step. `rate`: users' requests per second. */
export function describeTooLittleTraffic(plan: CanaryConfig, rate: number): string | undefined {
  const { load, progressDeadline, interval } = plan
  const stages = stagesThatCertify(plan)
  const last = stages.at(-1)
  const countsNothing = rate === 0 && plan.checks.minRequests === 0
  if (!last || countsNothing) return undefined
  const total = load ? Math.max(rate, load.rate ?? defaultMaxRate) : rate
  const perSecond = (stage: Stage) => (total * shareOf(stage)) / 100
  const inTime = stages.reduce((sum, stage) => sum + (perSecond(stage) * stage.forMs) / 1000, 0)
  const needed = requestsToCertify(plan)
  const gets = inTime + (perSecond(last) * progressDeadline) / 1000
  if (gets >= needed) return undefined
  const deadline = perSecond(last) === 0 ? undefined : (1000 * (needed - inTime)) / perSecond(last)
  return (
    `${plan.service} gets ${Number(rate.toFixed(1))} requests a second, which is too few for this plan: a canary without ` +
    `a failure needs about ${needed} requests to be promoted, and gets ${Math.floor(gets)} until \`progressDeadline\`` +
    (deadline === undefined
      ? '; send requests, or let `load` add them'
      : `; set \`progressDeadline: ${Math.ceil(deadline / 60_000)}m\` or more, raise \`checks.tolerance\`, ` +
        `lengthen \`interval\` (${interval / 1000} s), or let \`load\` add requests`)
  )
}

/** The stages whose requests certify the canary in time: those before the last one, or the only one if it ends at 100. */
function stagesThatCertify(plan: CanaryConfig): Stage[] {
  const stages = stagesOf(plan)
  const before = stages.slice(0, -1).filter(({ kind }) => kind !== 'ab')
  const last = stages.at(-1)
  if (before.length > 0) return before
  return last && shareOf(last) === 100 ? [last] : []
}

/** The canary's part of the requests, in per cent. */
function shareOf(stage: Stage): number {
  switch (stage.kind) {
    case 'mirror':
      return stage.percent
    case 'ab':
      return 0
    case 'weight':
      return stage.weight
  }
}
