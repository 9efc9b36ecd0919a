// The stage promote: the canary's weight, step by step, or back.
import { promote } from '../canary/promote.ts'
import { promotionReport } from '../report/report.ts'
import type { Done, Running } from './running.ts'

export async function deliver({ config, host, cluster, report }: Running): Promise<Done> {
  if (config.dryRun) return { changed: false }
  const promotion = await promote(cluster, config, { signal: host.signal, note: host.info, intent: host.intent })
  const { service, stable, canary } = config.canary!
  const { verdict, weight, reason } = promotion
  report.promotion = promotionReport(promotion, stable, canary)
  Object.assign(report, { verdict, weight, reason })
  if (verdict !== 'promoted' && verdict !== 'skipped') report.error = `the canary ${canary} of ${service} was not promoted (${verdict ?? ''}): ${reason ?? ''}`
  return { changed: verdict !== 'skipped' }
}
