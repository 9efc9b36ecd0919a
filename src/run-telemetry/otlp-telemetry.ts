// Sends a run's trace and metrics to a collector, in the background. Whatever goes wrong here changes nothing else.
import { ATTR_K8S_CLUSTER_NAME } from '@opentelemetry/semantic-conventions/incubating'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import type { Report } from '../report/report.ts'
import { messageOf } from '../runtime/errors.ts'
import { unlessAborted, withTimeout } from '../runtime/timeout.ts'
import { Delivery } from './delivery.ts'
import { createSdk, parentContext, type Sdk } from './opentelemetry.ts'
import { pipelineAttributes, pipelineRunAttributes } from './pipeline.ts'
import { observePromotions } from './promotion-metrics.ts'
import { RunTrace, type StageEnd } from './run-trace.ts'
import type { Environment, Settings } from './settings.ts'
import type { EndedPromotion, Telemetry, TelemetryReport, TelemetryStart } from './telemetry.ts'

/** How long the end of a run waits for the collector. A cancelled run has few seconds left, and needs them itself. */
const flushMs = { usual: 5_000, cancelled: 2_000, afterFailure: 1_000 }

const scope = 'mesh-canary'

export class OtlpTelemetry implements Telemetry {
  private readonly delivery: Delivery
  private readonly sdk: Sdk
  private readonly trace: RunTrace
  private readonly latest = new Map<string, PromotionProgress>()

  /** @throws Error if a setting cannot be used */
  constructor(settings: Settings, env: Environment, { startedAt, namespace, cluster, redact }: TelemetryStart) {
    const pipeline = redact(pipelineAttributes(env))
    const run = redact(pipelineRunAttributes(env))
    this.delivery = new Delivery(settings)
    this.sdk = createSdk(settings, this.delivery, { pipeline, run }, redact)
    const tracer = this.sdk.tracerProvider.getTracer(scope)
    const place = cluster === undefined ? {} : { [ATTR_K8S_CLUSTER_NAME]: cluster }
    this.trace = new RunTrace(tracer, { startedAt, namespace, place, pipeline, parent: parentContext(env) })
    observePromotions(this.sdk.meterProvider.getMeter(scope), () => [...this.latest.values()], place, redact)
  }

  stageStarted(name: string, at: number): void {
    this.safely(() => this.trace.stageStarted(name, at))
  }

  stageEnded(end: StageEnd): void {
    this.safely(() => this.trace.stageEnded(end))
  }

  promotionsSeen(promotions: readonly PromotionProgress[]): void {
    this.remember(promotions)
    this.safely(() => this.trace.promotionsSeen(promotions))
  }

  promotionsEnded(promotions: readonly EndedPromotion[], at: number): void {
    this.remember(promotions)
    this.safely(() => this.trace.promotionsEnded(promotions, at))
  }

  async end(report: Readonly<Report>, { at, isCancelled }: Parameters<Telemetry['end']>[1]): Promise<TelemetryReport> {
    const { traceId } = this.trace
    const failed = isCancelled ? 'cancellation' : 'failure'
    this.safely(() => this.trace.end(report, report.outcome === 'success' ? 'success' : failed, at))
    await this.flush(isCancelled)
    const warnings = this.delivery.warnings()
    return {
      ...(traceId !== undefined && this.delivery.isTraceDelivered ? { traceId } : {}),
      ...(warnings.length > 0 ? { warnings } : {}),
    }
  }

  private async flush(isCancelled: boolean): Promise<void> {
    const limitMs = Math.min(
      isCancelled ? flushMs.cancelled : flushMs.usual,
      this.delivery.hasFailed ? flushMs.afterFailure : Infinity,
    )
    const { tracerProvider, meterProvider } = this.sdk
    // What fails here is known from the exporters.
    const work = Promise.allSettled([tracerProvider.shutdown(), meterProvider.shutdown()])
    try {
      await unlessAborted(work, withTimeout(undefined, limitMs, 'sending the rest'))
    } catch (error) {
      this.delivery.fail(messageOf(error))
    }
  }

  private remember(promotions: readonly PromotionProgress[]): void {
    promotions.forEach((promotion) => this.latest.set(promotion.plan.service, promotion))
  }

  /** A defect in here must not end a promotion. */
  private safely(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.delivery.fail(messageOf(error))
    }
  }
}
