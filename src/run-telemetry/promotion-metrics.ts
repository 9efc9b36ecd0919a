// The metrics of promotions: what each of them has counted and decided so far.
import type { Attributes, BatchObservableResult, Meter } from '@opentelemetry/api'
import { ATTR_K8S_NAMESPACE_NAME } from '@opentelemetry/semantic-conventions/incubating'
import { shownCount } from '../canary/analysis/request-counts.ts'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import { explainChecks } from '../canary/state/machine.ts'
import { attribute, metric } from './names.ts'

/** Units in braces are annotations: Prometheus adds no suffix for them. */
function createInstruments(meter: Meter) {
  return {
    weight: meter.createObservableGauge(metric.weight, {
      unit: '%',
      description: "The canary's share of the traffic that the routes ask for.",
    }),
    evidence: meter.createObservableGauge(metric.evidence, {
      unit: '{e_value}',
      description: 'Evidence of a check against the canary (fail) or for it (pass); 1 is none.',
    }),
    threshold: meter.createObservableGauge(metric.threshold, {
      unit: '{e_value}',
      description: 'The evidence that decides.',
    }),
    requests: meter.createObservableCounter(metric.requests, {
      unit: '{request}',
      description: 'Requests that a version served since the first step.',
    }),
    failures: meter.createObservableCounter(metric.failures, {
      unit: '{request}',
      description: 'Requests among them that failed.',
    }),
  }
}

/**
 * `latest`: the promotions of the run as they are now. `place`: attributes of the cluster. `redact`: takes secrets out of
 * texts.
 */
export function observePromotions(
  meter: Meter,
  latest: () => readonly PromotionProgress[],
  place: Attributes,
  redact: (attributes: Attributes) => Attributes,
): void {
  const instruments = createInstruments(meter)
  const observe = (result: BatchObservableResult) => {
    for (const promotion of latest()) observePromotion(instruments, promotion, place, redact, result)
  }
  meter.addBatchObservableCallback(observe, Object.values(instruments))
}

function observePromotion(
  { weight, evidence, threshold, requests, failures }: ReturnType<typeof createInstruments>,
  { plan, namespace, state }: PromotionProgress,
  place: Attributes,
  redact: (attributes: Attributes) => Attributes,
  result: BatchObservableResult,
): void {
  const common = { ...place, [ATTR_K8S_NAMESPACE_NAME]: namespace, [attribute.service]: plan.service }
  const ofCanary = { ...common, [attribute.version]: plan.canary.name, [attribute.role]: 'canary' }
  result.observe(weight, state.weight, redact(ofCanary))
  for (const role of ['canary', 'stable'] as const) {
    const ofVersion = redact({ ...common, [attribute.version]: plan[role].name, [attribute.role]: role })
    result.observe(requests, shownCount(state[role].requests), ofVersion)
    result.observe(failures, shownCount(state[role].failures), ofVersion)
  }
  for (const { check, failEvidence, failThreshold, passEvidence, passThreshold } of explainChecks(plan, state)) {
    const toward = (direction: 'fail' | 'pass') =>
      redact({ ...ofCanary, [attribute.check]: check, [attribute.direction]: direction })
    result.observe(evidence, finite(failEvidence), toward('fail'))
    result.observe(threshold, failThreshold, toward('fail'))
    result.observe(evidence, finite(passEvidence), toward('pass'))
    result.observe(threshold, passThreshold, toward('pass'))
  }
}

/** OTLP in JSON has no infinity. */
function finite(value: number): number {
  return Math.min(value, Number.MAX_VALUE)
}
