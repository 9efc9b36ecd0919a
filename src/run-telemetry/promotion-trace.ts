// One promotion as a span, with a span for each of its steps.
import { SpanStatusCode, trace, type Attributes, type Context, type Span, type Tracer } from '@opentelemetry/api'
import {
  ATTR_ERROR_TYPE,
  ATTR_K8S_DEPLOYMENT_NAME,
  ATTR_K8S_NAMESPACE_NAME,
} from '@opentelemetry/semantic-conventions/incubating'
import { shownCount } from '../canary/analysis/request-counts.ts'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import { isHeldAsPlanned } from '../canary/state/ending.ts'
import type { EndedState, EndedStep, State, Step } from '../canary/state/types.ts'
import { attribute, trafficMoved } from './names.ts'

export class PromotionTrace {
  private readonly tracer: Tracer
  private readonly span: Span
  private readonly context: Context
  private readonly common: Attributes
  private sentSteps = 0
  private latest: State

  constructor(tracer: Tracer, parent: Context, { plan, namespace, state, deployment }: PromotionProgress) {
    this.tracer = tracer
    this.latest = state
    this.common = {
      [ATTR_K8S_NAMESPACE_NAME]: namespace,
      ...(deployment === undefined ? {} : { [ATTR_K8S_DEPLOYMENT_NAME]: deployment }),
      [attribute.service]: plan.service,
    }
    const attributes = {
      ...this.common,
      [attribute.stableVersion]: plan.stable.name,
      [attribute.canaryVersion]: plan.canary.name,
    }
    const options = { startTime: new Date(state.startedAt), attributes }
    this.span = tracer.startSpan(`promotion of ${plan.service}`, options, parent)
    this.context = trace.setSpan(parent, this.span)
  }

  /** Sends the steps that are over. The last one may still count requests, even after it has passed. */
  progressed(state: State): void {
    this.latest = state
    this.addSteps(state.steps.slice(0, -1))
  }

  end(state: EndedState, at: number): void {
    this.addSteps(state.steps)
    const { verdict, reason, weight } = state
    this.span.setAttributes({
      [attribute.verdict]: verdict,
      [attribute.reason]: reason,
      [attribute.weight]: weight,
      ...requestsOf(state),
    })
    const isSuccess = verdict === 'promoted' || verdict === 'skipped' || isHeldAsPlanned(state)
    if (!isSuccess) this.fail(verdict, reason)
    this.span.end(new Date(at))
  }

  /** Something outside the promotions has ended all of them. */
  endAbandoned(at: number): void {
    const { latest } = this
    if (latest.phase === 'ended') return this.end(latest, at)
    this.addSteps(latest.steps)
    this.fail('abandoned', 'the promotion ended without a result')
    this.span.end(new Date(at))
  }

  /** A promotion only ever adds steps. */
  private addSteps(steps: readonly Step[]): void {
    const ended = steps.filter((step) => 'endedAt' in step)
    ended.slice(this.sentSteps).forEach((step) => this.addStep(step))
    this.sentSteps = Math.max(this.sentSteps, ended.length)
  }

  private fail(type: string, message: string): void {
    this.span.setAttribute(ATTR_ERROR_TYPE, type)
    this.span.setStatus({ code: SpanStatusCode.ERROR, message })
  }

  private addStep(step: EndedStep): void {
    const { kind, weight, shiftedAt, endedAt, outcome, watched } = step
    const attributes = {
      ...this.common,
      [attribute.stepKind]: kind,
      [attribute.weight]: weight,
      [attribute.stepOutcome]: outcome,
      ...requestsOf(step),
    }
    const span = this.tracer.startSpan(nameOf(step), { startTime: new Date(shiftedAt), attributes }, this.context)
    if (watched) span.addEvent(trafficMoved, new Date(watched.since))
    if (outcome === 'failed') span.setStatus({ code: SpanStatusCode.ERROR })
    span.end(new Date(endedAt))
  }
}

function nameOf({ kind, weight }: EndedStep): string {
  if (kind === 'weight') return `weight ${weight}%`
  return kind === 'mirror' ? `mirror ${weight}%` : 'matching requests'
}

function requestsOf({ canary, stable }: Pick<EndedStep, 'canary' | 'stable'>): Attributes {
  return {
    [attribute.canaryRequests]: shownCount(canary.requests),
    [attribute.canaryFailures]: shownCount(canary.failures),
    [attribute.stableRequests]: shownCount(stable.requests),
    [attribute.stableFailures]: shownCount(stable.failures),
  }
}
