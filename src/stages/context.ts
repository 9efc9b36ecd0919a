// What the stages share: the host that gets their lines, the config and the cluster, and the recorder of the report.
import type { PromotionProgress, RecoveryIntent } from '../canary/active-promotion.ts'
import type { OtherClusters } from '../canary/other-clusters.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Connection } from '../cluster/connect.ts'
import { matches, withoutIstiodLabels } from '../cluster/labels.ts'
import { canariesOf, servicesOf } from '../config/names.ts'
import type { Config, ServicePolicy } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import type { KindClusterToDelete } from '../kind/kind.ts'
import type { FaultIntent } from '../experiments/experiment.ts'
import type { DesiredMesh } from '../mesh/install.ts'
import { statedRules } from '../policies/desired.ts'
import { readLive } from '../policies/live-routes.ts'
import { userManifests } from '../policies/manifests/manifests.ts'
import { withStatedSubsets } from '../policies/subsets.ts'
import type { Release } from '../release/plan.ts'
import type { Recorder } from '../report/recorder.ts'
import type { Report } from '../report/report.ts'
import type { Redactor } from '../runtime/redaction.ts'
import type { Telemetry } from '../run-telemetry/telemetry.ts'
import type { Obtained } from '../tools/obtain.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { runProgram } from '../tools/run.ts'

/**
 * The program that starts a run: the action, or the command line. The run calls each `on…` as soon as it can, because
 * it may be killed at any moment.
 */
export type Host = {
  /** The name of the cluster, in a fleet. */
  cluster?: string
  signal: AbortSignal
  tempDir: string
  /** Where files for later steps go. */
  outputFolder: string
  /** The address of this run's page, or its name. Other runs that wait for it show it. */
  runName: string
  info: (line: string) => void
  warning: (line: string) => void
  /** Groups the lines that `work` logs under the name. */
  group: <T>(name: string, work: () => Promise<T>) => Promise<T>
  mask: (secret: string) => void
  /** Called after each poll of the promotions, and at their end. */
  onProgress?: (promotions: PromotionProgress[]) => void
  /** The text of the guard's bundle. */
  readGuardProgram: () => string
  /** Called when istioctl is installed, so that later steps can find it. */
  onIstioctl: (found: Obtained) => void
  /** Called before the cluster is created: what to remove at the end of the job. */
  onKindCluster: (left: KindClusterToDelete) => void
  onConnected: (connection: Connection) => void
  /** The promotions to recover if this process dies; none when all have ended safely. */
  onRecoveryIntents: (intents: RecoveryIntent[]) => void
  /** The fault of an experiment to remove if this process dies; undefined when there is none. */
  onFaultIntent: (experiment: string, intent: FaultIntent | undefined) => void
}

/** `server`: the address of the API server. `uid`: of the namespace, if it is known; two addresses may be one cluster. */
export type ClusterIdentity = { server: string; uid?: string | undefined }

/** `hasWaited`: for clusters of an earlier wave. `isOutOfTime`: the next run continues; this one begins nothing more. */
export type Turn = { hasWaited: boolean; isOutOfTime: boolean }

/**
 * The same run in the other clusters of a fleet. `turn`: resolves when all clusters have passed their checks, and the waves
 * before are done. @throws Error if one has failed, or if two names are one cluster
 */
export type FleetPeers = OtherClusters & { turn: (identity: ClusterIdentity) => Promise<Turn> }

/** What every run has from the start. The host's lines are redacted already. */
export type RunContext = {
  config: Config
  stages: readonly StageName[]
  host: Host
  redactor: Redactor
  recorder: Recorder
  telemetry: Telemetry
  /** The mesh of the config, if it has `istio`. */
  mesh?: DesiredMesh
  /** The other clusters of a fleet. */
  others?: FleetPeers
}

/**
 * What the stages work with once there is a cluster. `istioctl`: only if the config has `istio`. `releases`: of the
 * canaries that this run creates. `fleetFailure`: why nothing may be promoted any more.
 */
export type StageContext = RunContext & {
  cluster: Cluster
  connection: Connection
  releases?: readonly Release[]
  fleetFailure?: string
  istioctl?: NonNullable<Report['istioctl']>
}

export type StageOutcome = { changed: boolean }
export type Stage = (context: StageContext) => Promise<StageOutcome>

/** Runs istioctl against the cluster and passes its lines on. @throws Error with its last lines when it fails. */
export async function runIstioctl(context: StageContext, args: string[]): Promise<void> {
  const { config, connection, host, istioctl } = context
  const ownWait = config.istio?.timeout ?? 0
  const signal = withTimeout(
    host.signal,
    config.limits.istioctl + ownWait,
    `istioctl ${args[0] ?? ''}`,
    'limits.istioctl',
  )
  const { code, stderr } = await runProgram(
    istioctl!.path,
    [...args, ...connection.cliArgs],
    signal,
    (line) => /[a-z]/i.test(line) && host.info(line),
  )
  if (code === 0) return
  const lines = stderr.split('\n').filter((line) => line.trim())
  throw new Error(`istioctl ${args[0]} failed: ${lines.slice(-3).join(' ').trim()}`)
}

/** The services of the config, with the labels that the user's own DestinationRules state for the canaries' subsets. */
export async function statedServices({
  cluster,
  config,
}: Pick<StageContext, 'cluster' | 'config'>): Promise<Record<string, ServicePolicy>> {
  const manifests = userManifests(config)
  const live = await readLive(cluster, config.namespace)
  return servicesOf(withStatedSubsets(config, statedRules(manifests, live)))
}

/**
 * Whether pods with these labels are of a canary. The promotion judges them itself: broken ones lead to a verdict, not
 * to an error of another stage.
 */
export async function canaryMatcher(
  context: Pick<StageContext, 'cluster' | 'config'>,
): Promise<(labels: Record<string, string> | undefined) => boolean> {
  const services = await statedServices(context)
  const subsets = canariesOf(context.config).flatMap(({ service, canary }) => {
    const labels = canary.by === 'subset' ? services[service]?.subsets?.[canary.name] : undefined
    return labels ? [labels] : []
  })
  return (labels) => subsets.some((subset) => matches(withoutIstiodLabels(subset), labels))
}

/** Shows and records each warning once: the stages plan and policies find the same warnings. */
export function warn({ host, recorder }: Pick<RunContext, 'host' | 'recorder'>, warnings: string[]): void {
  const fresh = warnings.filter((warning) => !recorder.current().warnings.includes(warning))
  fresh.forEach(host.warning)
  recorder.record({ warnings: fresh })
}
