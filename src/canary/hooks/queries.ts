// Runs a Prometheus query of the user as a check: its number must be within bounds.
import type { CanaryConfig } from '../../config/schema.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Prometheus } from '../../observability/metrics/prometheus-client.ts'
import type { CheckAnswer } from '../state/finding.ts'
import type { PromotionStatus } from './promotion-status.ts'

type Query = CanaryConfig['checks']['queries'][string]

/** A query that returns no number, or several, is undecided. */
export async function runQuery(
  prometheus: Prometheus,
  { query, min = -Infinity, max = Infinity }: Query,
  status: PromotionStatus,
): Promise<CheckAnswer> {
  try {
    const samples = await prometheus(fillTemplate(query, status))
    if (samples.length > 1)
      return undecided(`the query returned ${samples.length} series; it must return one number, such as a sum()`)
    const value = samples[0]?.value
    if (value === undefined || Number.isNaN(value)) return undecided('the query returned no number')
    const rounded = Number(value.toPrecision(6))
    return { state: value >= min && value <= max ? 'pass' : 'fail', text: `${rounded}, expected ${bounds(min, max)}` }
  } catch (error) {
    return undecided(messageOf(error))
  }
}

function undecided(text: string): CheckAnswer {
  return { state: 'undecided', text }
}

function bounds(min: number, max: number): string {
  const parts = [...(min === -Infinity ? [] : [`at least ${min}`]), ...(max === Infinity ? [] : [`at most ${max}`])]
  return parts.join(' and ')
}

/**
 * Fills in `$namespace`, `$service`, `$stable`, `$canary`, `$weight`, `$interval` and, in a fleet, `$cluster`; other
 * variables stay.
 */
export function fillTemplate(promql: string, status: PromotionStatus): string {
  const { namespace, service, stable, canary, weight, intervalMs, cluster } = status
  const values: Record<string, string> = {
    namespace,
    service,
    stable,
    canary,
    weight: String(weight),
    interval: `${Math.max(1, Math.round(intervalMs / 1000))}s`,
    ...(cluster ? { cluster: cluster.name } : {}),
  }
  return promql.replace(/\$([a-z]+)\b/g, (variable, name: string) =>
    Object.hasOwn(values, name) ? values[name]! : variable,
  )
}
