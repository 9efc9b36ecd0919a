// Builds the observation for the state machine: a sample, and what the watches, the hooks and the guard report.
import { keyOf } from '../../cluster/objects.ts'
import type { ExternalChecks } from '../hooks/external-checks.ts'
import type { Gates } from '../hooks/gates.ts'
import type { Sample } from '../metrics/observer.ts'
import type { GuardStatus } from '../ownership/session.ts'
import { dueGates } from '../state/machine.ts'
import type { Observation, State } from '../state/types.ts'
import type { RouteWrite } from '../traffic/patch-routes.ts'
import { findDrift, type ExpectedRoutes } from '../traffic/drift.ts'
import { checkRevision, recordRevision, type Revision } from '../workload/revision-check.ts'
import { currentObjects, type PromotionContext } from './context.ts'

/** `written`: the last writes of this run, which a watch may not show yet. */
export type ObservationSources = {
  checks: ExternalChecks
  gates: Gates
  written: () => readonly RouteWrite[]
}

export class ObservationBuilder {
  private readonly context: PromotionContext
  private readonly sources: ObservationSources
  private readonly knownRoutes: readonly string[]
  private revision: Revision

  constructor(context: PromotionContext, sources: ObservationSources) {
    const { watched, observer, selectors, session } = context
    this.context = context
    this.sources = sources
    this.knownRoutes = session.savedRoutes.map(keyOf)
    this.revision = recordRevision(currentObjects(watched.workloads), observer.canaries(), selectors.canary)
  }

  /** `isRenewed`: the Lease was renewed just now; while it cannot be, nothing can be said of the canary either. */
  build(state: State, { observed, health }: Sample, isRenewed: boolean, guard: GuardStatus): Observation {
    const { plan } = this.context
    const drift = this.drift(state)
    const changed = this.revisionFault(state)
    const fault = health.podFailure?.text ?? changed
    return {
      ...observed,
      complete: observed.complete && isRenewed,
      ...(fault === undefined ? {} : { fault }),
      ...(drift === undefined ? {} : { drift }),
      ...(guard === 'watching' ? {} : { unguarded: guard }),
      findings: this.sources.checks.latest(),
      gates: this.sources.gates.answers(dueGates(plan, state)),
    }
  }

  private drift(state: State): string | undefined {
    const { watched, split, plan } = this.context
    if (state.phase === 'waiting' || !watched.routes.every((watch) => watch.fresh())) return undefined
    const routes = currentObjects(watched.routes)
    return findDrift(routes, this.knownRoutes, split, plan, expectedRoutes(state), this.sources.written())
  }

  private revisionFault(state: State): string | undefined {
    const { watched, observer, selectors } = this.context
    const hasTraffic = state.phase !== 'waiting' && (state.weight > 0 || state.steps.at(-1)?.kind === 'ab')
    const workloads = currentObjects(watched.workloads)
    const check = checkRevision(this.revision, workloads, observer.canaries(), selectors.canary, hasTraffic)
    this.revision = check.revision
    return check.fault
  }
}

/** What the routes should say in this state: the weight, and what a mirror or A/B stage adds. */
function expectedRoutes({ phase, weight, steps }: State): ExpectedRoutes {
  const step = phase === 'waiting' ? undefined : steps.at(-1)
  if (!step) return { weight }
  return { weight, kind: step.kind, ...(step.kind === 'mirror' ? { percent: step.weight } : {}) }
}
