// Warns, before a promotion, if the traffic cannot support its plan.
import { requestRate } from '../canary/controller/request-rate.ts'
import { describeTooLittleTraffic } from '../canary/load/traffic-need.ts'
import { canariesOf, canaryKey } from '../config/names.ts'
import type { CanaryConfig } from '../config/schema.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { warn, type StageContext } from './context.ts'

/** Where nothing is served yet, as before the first deployment, there is nothing to warn of. */
export async function warnOfTooLittleTraffic(context: StageContext): Promise<void> {
  const { config } = context
  await Promise.all(canariesOf(config).map((plan, i) => checkTraffic(context, plan, canaryKey(config, i))))
}

async function checkTraffic(context: StageContext, plan: CanaryConfig, key: string): Promise<void> {
  const { cluster, config, host } = context
  try {
    const rate = await requestRate(cluster, config, plan, systemClock)
    const tooLittle = rate > 0 ? describeTooLittleTraffic(plan, rate) : undefined
    if (tooLittle !== undefined) warn(context, [`${key}: ${tooLittle}`])
  } catch (problem) {
    host.info(`the traffic of ${plan.service} is not known: ${messageOf(problem)}`)
  }
}
