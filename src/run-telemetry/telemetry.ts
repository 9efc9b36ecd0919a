// The telemetry of a run as its stages see it: they say what happens, and nothing comes back, not even an error.
import type { PromotionProgress } from '../canary/active-promotion.ts'
import type { EndedState } from '../canary/state/types.ts'
import type { Report } from '../report/report.ts'
import type { Redactor } from '../runtime/redaction.ts'
import type { StageEnd } from './run-trace.ts'

export type EndedPromotion = PromotionProgress & { state: EndedState }

/** Times are milliseconds since the epoch. No method throws. */
export type Telemetry = {
  stageStarted: (name: string, at: number) => void
  stageEnded: (end: StageEnd) => void
  /** After each poll. */
  promotionsSeen: (promotions: readonly PromotionProgress[]) => void
  promotionsEnded: (promotions: readonly EndedPromotion[], at: number) => void
  /** Sends the rest, and waits a few seconds at most. Never rejects. */
  end: (report: Readonly<Report>, end: { at: number; isCancelled: boolean }) => Promise<TelemetryReport>
}

/** `traceId`: only if the collector has the trace. `warnings`: one sentence, if it lacks anything. */
export type TelemetryReport = Pick<Report, 'traceId'> & { warnings?: string[] }

/** What a run begins with. `cluster`: its name in a fleet. `redact`: takes secrets out of texts. */
export type TelemetryStart = { startedAt: number; namespace: string; cluster?: string; redact: Redactor['redact'] }

const nothing = () => undefined

/** Sends nothing. `warnings`: why, if somebody expects more. */
export function noTelemetry(warnings: string[] = []): Telemetry {
  return {
    stageStarted: nothing,
    stageEnded: nothing,
    promotionsSeen: nothing,
    promotionsEnded: nothing,
    end: () => Promise.resolve(warnings.length > 0 ? { warnings } : {}),
  }
}
