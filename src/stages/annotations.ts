// Annotations in Grafana for the promotions of a run, if the config names a Grafana. They never affect a promotion.
import type { PromotionProgress } from '../canary/active-promotion.ts'
import type { Promotion } from '../canary/controller/context.ts'
import type { Step } from '../canary/state/types.ts'
import { createAnnotator, type Followed } from '../observability/grafana/annotations.ts'
import { grafanaOf } from '../observability/outputs.ts'
import { systemClock } from '../runtime/clock.ts'
import { messageOf } from '../runtime/errors.ts'
import { warn, type StageContext } from './context.ts'

export type PromotionAnnotator = {
  follow: (promotions: readonly PromotionProgress[]) => void
  /** Adds the verdicts, and waits a few seconds at most; not at all once the run is cancelled. */
  end: (promotions: readonly Promotion[]) => Promise<void>
}

const endLimitMs = 5_000

export function promotionAnnotator(context: StageContext): PromotionAnnotator {
  const { config, redactor, host } = context
  const api = config.observability && grafanaOf(config.observability)
  if (!api) return { follow: () => undefined, end: () => Promise.resolve() }
  const annotator = createAnnotator(api, (error) =>
    warn(context, [`annotations of the promotion are missing in Grafana: ${messageOf(error)}`]),
  )
  const place = host.cluster === undefined ? {} : { cluster: host.cluster }
  return {
    follow: (promotions) => annotator.follow(promotions.map((each) => ({ ...place, ...followed(each) }))),
    end(promotions) {
      const at = systemClock.now()
      annotator.follow(
        promotions
          .filter(({ notStarted }) => notStarted === undefined)
          .map((promotion) => {
            const { plan, namespace, verdict, reason } = promotion
            const ended = { at, verdict, reason: redactor.redact(reason) }
            return { ...place, ...followed({ plan, namespace, state: promotion }), ended }
          }),
      )
      return annotator.finish(endLimitMs, host.signal)
    },
  }
}

function followed({ plan, namespace, state }: PromotionProgress): Followed {
  return {
    namespace,
    service: plan.service,
    stable: plan.stable.name,
    canary: plan.canary.name,
    steps: state.steps.map((step) => ({ at: step.shiftedAt, text: describeStep(step) })),
  }
}

function describeStep({ kind, weight }: Step): string {
  if (kind === 'weight') return `weight ${weight}%`
  return kind === 'mirror' ? `copies of ${weight}% of the requests` : 'the requests that match'
}
