// Builds the observation for the state machine: a sample, and what the watches, the hooks and the guard report.
import { keyOf } from '../../cluster/objects.ts'
import type { ExternalChecks } from '../hooks/external-checks.ts'
import type { Gates } from '../hooks/gates.ts'
import type { Sample } from '../metrics/observer.ts'
import type { Health } from '../metrics/pod-health.ts'
import type { GuardStatus } from '../ownership/session-guard.ts'
import { dueGates } from '../state/gates.ts'
import type { Observation, State } from '../state/types.ts'
import type { RouteWrite } from '../traffic/patch-routes.ts'
import { findDrift, type ExpectedRoutes } from '../traffic/drift.ts'
import { checkRevision, recordRevision, type Revision } from '../workload/revision-check.ts'
import type { EndpointWatch } from './endpoint-watch.ts'
import { currentObjects, type PromotionContext } from './context.ts'

/** `written`: the last writes of this run, which a watch may not show yet. */
export type ObservationSources = {
  endpoints: EndpointWatch
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
  build(state: State, { observed, health, countsAll }: Sample, isRenewed: boolean, guard: GuardStatus): Observation {
    const { plan, pinned } = this.context
    const drift = this.drift(state)
    const fault = this.fault(state, health)
    return {
      ...observed,
      complete: observed.complete && isRenewed,
      ...(countsAll ? { share: pinned } : {}),
      ...(fault === undefined ? {} : { fault }),
      ...(drift === undefined ? {} : { drift }),
      ...this.missingEndpoints(state),
      ...(guard === 'watching' ? {} : { unguarded: guard }),
      findings: this.sources.checks.latest(),
      gates: this.sources.gates.answers(dueGates(plan, state)),
    }
  }

  /** Why the canary has failed, whatever its counters show: its pods crash or are gone, or it is another version. */
  fault(state: State, { podFailure }: Health): string | undefined {
    const changed = this.revisionFault(state)
    return podFailure?.text ?? changed ?? this.endpointFault(state)
  }

  /** Of stable only while it gets traffic: afterwards it may be scaled to 0. */
  private missingEndpoints({ phase, weight }: State): Pick<Observation, 'stableDown' | 'canaryDown'> {
    const { endpoints } = this.sources
    if (!this.seesPods()) return {}
    const isStableDown = phase === 'waiting' ? !endpoints.hasEndpoint('stable') : endpoints.isDown('stable')
    return {
      ...(weight < 100 && isStableDown ? { stableDown: true } : {}),
      ...(endpoints.hasEndpoint('canary') ? {} : { canaryDown: true }),
    }
  }

  private endpointFault(state: State): string | undefined {
    const { endpoints } = this.sources
    return this.seesPods() && sendsTraffic(state) && endpoints.isDown('canary') ? endpoints.canaryFault() : undefined
  }

  private seesPods(): boolean {
    return this.context.watched.pods.every((watch) => watch.fresh())
  }

  /** What somebody else has changed of the routes that this run wrote. */
  drift(state: State): string | undefined {
    const { watched, split, plan } = this.context
    if (state.phase === 'waiting' || !watched.routes.every((watch) => watch.fresh())) return undefined
    const routes = currentObjects(watched.routes)
    return findDrift(routes, this.knownRoutes, split, plan, expectedRoutes(state), this.sources.written())
  }

  private revisionFault(state: State): string | undefined {
    const { watched, observer, selectors } = this.context
    const hasTraffic = sendsTraffic(state)
    const workloads = currentObjects(watched.workloads)
    const check = checkRevision(this.revision, workloads, observer.canaries(), selectors.canary, hasTraffic)
    this.revision = check.revision
    return check.fault
  }
}

/** The routes send users' requests to the canary. */
function sendsTraffic({ phase, weight, steps }: State): boolean {
  return phase !== 'waiting' && (weight > 0 || steps.at(-1)?.kind === 'ab')
}

/** What the routes should say in this state: the weight, and what a mirror or A/B stage adds. */
function expectedRoutes({ phase, weight, steps }: State): ExpectedRoutes {
  const step = phase === 'waiting' ? undefined : steps.at(-1)
  if (!step) return { weight }
  return { weight, kind: step.kind, ...(step.kind === 'mirror' ? { percent: step.weight } : {}) }
}
