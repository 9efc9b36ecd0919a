// One run as a trace: the run, its stages, and in the stage promote each promotion with its steps. Spans get the times
// of the report. Each is sent as soon as it has ended, so that a killed run has sent what had happened.
// OpenTelemetry takes a small number for an offset from the start of this process, so all times are dates.
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import {
  ATTR_CICD_PIPELINE_ACTION_NAME,
  ATTR_CICD_PIPELINE_NAME,
  ATTR_CICD_PIPELINE_RESULT,
  ATTR_CICD_PIPELINE_TASK_NAME,
  ATTR_CICD_PIPELINE_TASK_RUN_RESULT,
  ATTR_ERROR_TYPE,
  ATTR_K8S_NAMESPACE_NAME,
  CICD_PIPELINE_ACTION_NAME_VALUE_RUN,
  ERROR_TYPE_VALUE_OTHER,
} from '@opentelemetry/semantic-conventions/incubating'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import type { EndedState } from '../canary/state/types.ts'
import type { Report } from '../report/report.ts'
import { attribute } from './names.ts'
import { PromotionTrace } from './promotion-trace.ts'

/** As the semantic conventions name how a pipeline or a task ends. */
export type RunResult = 'success' | 'failure' | 'cancellation'

/** `at`: milliseconds since the epoch. `error`: what the report says went wrong, if anything. */
export type StageEnd = {
  at: number
  outcome: Report['stages'][number]['outcome']
  result: RunResult
  error?: string | undefined
}

/**
 * `startedAt`: milliseconds since the epoch. `place`, `pipeline`: attributes of the cluster, and of the pipeline that the
 * run belongs to.
 */
export type RunStart = {
  startedAt: number
  namespace: string
  place?: Attributes
  pipeline: Attributes
  parent?: Context
}

export class RunTrace {
  private readonly tracer: Tracer
  private readonly root: Span
  private readonly namespace: string
  private stage: Span | undefined
  private readonly promotions = new Map<string, PromotionTrace>()

  constructor(tracer: Tracer, { startedAt, namespace, place, pipeline, parent = ROOT_CONTEXT }: RunStart) {
    this.tracer = tracer
    this.namespace = namespace
    const stated = pipeline[ATTR_CICD_PIPELINE_NAME]
    const name = typeof stated === 'string' ? stated : 'mesh-canary'
    const attributes = {
      [ATTR_CICD_PIPELINE_ACTION_NAME]: CICD_PIPELINE_ACTION_NAME_VALUE_RUN,
      [ATTR_CICD_PIPELINE_NAME]: name,
      [ATTR_K8S_NAMESPACE_NAME]: namespace,
      ...place,
    }
    const title = `${CICD_PIPELINE_ACTION_NAME_VALUE_RUN} ${name}`
    this.root = tracer.startSpan(title, { kind: SpanKind.SERVER, startTime: new Date(startedAt), attributes }, parent)
  }

  /** Undefined if the trace is not sent, because its parent is not sampled. */
  get traceId(): string | undefined {
    return this.root.isRecording() ? this.root.spanContext().traceId : undefined
  }

  stageStarted(name: string, at: number): void {
    const attributes = { [ATTR_CICD_PIPELINE_TASK_NAME]: name, [ATTR_K8S_NAMESPACE_NAME]: this.namespace }
    this.stage = this.tracer.startSpan(name, { startTime: new Date(at), attributes }, contextOf(this.root))
  }

  stageEnded({ at, outcome, result, error }: StageEnd): void {
    this.promotions.forEach((each) => each.endAbandoned(at))
    this.promotions.clear()
    this.stage?.setAttributes({
      [ATTR_CICD_PIPELINE_TASK_RUN_RESULT]: result,
      [attribute.stageOutcome]: outcome,
    })
    if (this.stage && result !== 'success') setError(this.stage, error)
    this.stage?.end(new Date(at))
    this.stage = undefined
  }

  /** Sends the steps that are over and were not sent yet. */
  promotionsSeen(promotions: readonly PromotionProgress[]): void {
    for (const promotion of promotions) this.traceOf(promotion).progressed(promotion.state)
  }

  /** `at`: milliseconds since the epoch. */
  promotionsEnded(promotions: readonly (PromotionProgress & { state: EndedState })[], at: number): void {
    for (const promotion of promotions) {
      this.traceOf(promotion).end(promotion.state, at)
      this.promotions.delete(promotion.plan.service)
    }
  }

  end({ verdict, reason, weight, dryRun, error }: Readonly<Report>, result: RunResult, at: number): void {
    this.root.setAttributes({
      [ATTR_CICD_PIPELINE_RESULT]: result,
      [attribute.dryRun]: dryRun,
      ...(verdict === undefined ? {} : { [attribute.verdict]: verdict }),
      ...(reason === undefined ? {} : { [attribute.reason]: reason }),
      ...(weight === undefined ? {} : { [attribute.weight]: weight }),
    })
    if (result !== 'success') setError(this.root, error, verdict)
    this.root.end(new Date(at))
  }

  private traceOf(promotion: PromotionProgress): PromotionTrace {
    const { service } = promotion.plan
    const known = this.promotions.get(service)
    if (known) return known
    const started = new PromotionTrace(this.tracer, contextOf(this.stage ?? this.root), promotion)
    this.promotions.set(service, started)
    return started
  }
}

/** `type`: a class of errors; the message says more. */
function setError(span: Span, message: string | undefined, type: string = ERROR_TYPE_VALUE_OTHER): void {
  span.setAttribute(ATTR_ERROR_TYPE, type)
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message === undefined ? {} : { message }) })
}

/** In which the span is the parent of a new one. */
function contextOf(span: Span): Context {
  return trace.setSpan(ROOT_CONTEXT, span)
}
