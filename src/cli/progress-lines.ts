// A promotion under way in a few lines of text: its step, what both versions served, and how strong the evidence is. Pure.
import { verdictName } from '../report/headline.ts'
import { plural } from '../runtime/plural.ts'
import { evidenceText } from '../statistics/evidence.ts'
import { percent, successRate } from '../statistics/percent.ts'
import type { ProgressView } from '../canary/state/progress-view.ts'

/** `where`: what the controller says that moves the traffic, if one does; the steps of the plan are not its steps. */
export function progressLines(view: ProgressView, where?: string): string[] {
  const { service, canary, verdict } = view
  if (verdict !== undefined) return [`${canary} of ${service}: ${verdictName(verdict)}, weight ${view.weight}%`]
  return [`${canary} of ${service}: ${where ?? progressLine(view)}`, ...detailLines(view)]
}

type Position = Pick<ProgressView, 'phase' | 'stage' | 'stages' | 'weight'> & {
  kind?: ProgressView['kind'] | undefined
}

/** The step, the weight and the time left. */
export function progressLine(view: Position & { msLeft: number }): string {
  const doing = { shifting: 'the traffic moves', watching: 'watching', confirming: 'waits for confirmation' }
  const { phase, msLeft } = view
  const left = msLeft > 0 ? `at least ${Math.ceil(msLeft / 1000)} s left` : ''
  const what = phase === 'waiting' || phase === 'ended' ? '' : doing[phase]
  return [positionLine(view), what, left].filter(Boolean).join(', ')
}

export function positionLine({ phase, kind, stage, stages, weight }: Position): string {
  // Of a fleet, or of canaries in waves: the others are not promoted yet.
  if (phase === 'waiting' && stage === stages)
    return `all ${stages} steps have passed, weight ${weight}%, waiting for the other canaries`
  if (phase === 'waiting') return `waiting to begin, ${stages} steps`
  const what = kind === 'mirror' ? 'copies' : kind === 'ab' ? 'requests that match' : `weight ${weight}%`
  return `step ${stage} of ${stages}, ${what}`
}

type Evidence = Omit<ProgressView['checks'][number], 'verdict' | 'check'> & { check: string }

/** What was served, and the evidence. */
export function detailLines({
  canary,
  stable,
  served,
  checks,
}: Pick<ProgressView, 'canary' | 'stable' | 'served'> & { checks: readonly Evidence[] }): string[] {
  const part = (name: string, tally: { requests: number; failures: number }) => {
    const rate = successRate(tally)
    return rate === undefined
      ? `${name} no requests`
      : `${name} ${percent(rate)} of ${plural(tally.requests, 'request')}`
  }
  const succeeded = [part(canary, served.canary), part(stable, served.stable), part('users', served.users)]
  return [`  success   ${succeeded.join(' · ')}`, ...evidenceLines(checks)]
}

/** The parts against the canary add up; each check has to pass by itself, so the weakest one is shown. */
function evidenceLines(checks: readonly Evidence[]): string[] {
  const [first] = checks
  if (!first) return []
  const against = checks.reduce((sum, { failEvidence }) => sum + failEvidence, 0)
  const weakest = checks.reduce((least, each) => (share(each) < share(least) ? each : least), first)
  const { check, passEvidence, passThreshold } = weakest
  return [
    `  against   ${bar(against, first.failThreshold)} ${evidenceText(against, first.failThreshold)}, rolls back at ${evidenceText(first.failThreshold)}`,
    `  for       ${bar(passEvidence, passThreshold)} ${evidenceText(passEvidence, passThreshold)}, passes at ${evidenceText(passThreshold)} (${check})`,
  ]
}

const share = ({ passEvidence, passThreshold }: Evidence) => passEvidence / passThreshold

const width = 24

/** Logarithmic: empty at 1, which is no evidence, and full at the limit. */
function bar(evidence: number, limit: number): string {
  const part = limit > 1 ? Math.log(Math.max(1, evidence)) / Math.log(limit) : Number(evidence >= limit)
  const filled = Math.round(width * Math.min(1, part))
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
}
