// The names of what only mesh-canary measures. Standard names come from OpenTelemetry's semantic conventions.
// docs/run-telemetry.md lists all of them, and a test compares.

/** Attributes of spans and metrics. */
export const attribute = {
  service: 'mesh_canary.service',
  stableVersion: 'mesh_canary.stable.version',
  canaryVersion: 'mesh_canary.canary.version',
  verdict: 'mesh_canary.verdict',
  reason: 'mesh_canary.reason',
  weight: 'mesh_canary.weight',
  dryRun: 'mesh_canary.dry_run',
  stageOutcome: 'mesh_canary.stage.outcome',
  stepKind: 'mesh_canary.step.kind',
  stepOutcome: 'mesh_canary.step.outcome',
  canaryRequests: 'mesh_canary.canary.requests',
  canaryFailures: 'mesh_canary.canary.failures',
  stableRequests: 'mesh_canary.stable.requests',
  stableFailures: 'mesh_canary.stable.failures',
  version: 'mesh_canary.version.name',
  role: 'mesh_canary.version.role',
  check: 'mesh_canary.check.name',
  direction: 'mesh_canary.check.direction',
} as const

/** The event of a step at the moment when the requests show its weight. */
export const trafficMoved = 'mesh_canary.traffic_moved'

export const metric = {
  weight: 'mesh_canary.weight',
  evidence: 'mesh_canary.check.evidence',
  threshold: 'mesh_canary.check.threshold',
  requests: 'mesh_canary.requests',
  failures: 'mesh_canary.request.failures',
} as const
