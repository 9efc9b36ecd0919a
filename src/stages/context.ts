// What the stages share: whom they tell, what they work on, and where they record what they did.
import type { RecoveryIntent } from '../canary/promote.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Connection } from '../cluster/connect.ts'
import { matches } from '../cluster/labels.ts'
import { canariesOf, servicesOf } from '../config/names.ts'
import type { Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import type { LeftCluster } from '../kind/kind.ts'
import type { DesiredMesh } from '../mesh/install.ts'
import type { Recorder } from '../report/recorder.ts'
import type { Report } from '../report/report.ts'
import type { Redactor } from '../runtime/redaction.ts'
import type { Obtained } from '../tools/obtain.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { run } from '../tools/run.ts'

/**
 * Whoever starts a run: GitHub's runner, or a shell. The run calls each `on…` as soon as it can, because it may be killed
 * at any moment.
 */
export type Host = {
  signal: AbortSignal
  tempDir: string
  /** The address of this run's page, or its name: shown to other runs that wait for it. */
  runName: string
  info: (line: string) => void
  warning: (line: string) => void
  /** Lines told inside belong together under the name. */
  group: <T>(name: string, work: () => Promise<T>) => Promise<T>
  mask: (secret: string) => void
  /** The text of the guard's bundle. */
  readGuardProgram: () => string
  /** istioctl is installed, so that later steps can find it. */
  onIstioctl: (found: Obtained) => void
  /** Called before the cluster is made: what to remove at the end of the job. */
  onKindCluster: (left: LeftCluster) => void
  onConnected: (connection: Connection) => void
  /** The promotions to recover should this process die; none when all have ended safely. */
  onRecoveryIntents: (intents: RecoveryIntent[]) => void
}

/** What there is from the first moment of a run. The host's lines are redacted already. */
export type RunContext = {
  config: Config
  stages: readonly StageName[]
  host: Host
  redactor: Redactor
  recorder: Recorder
  /** The mesh that the config asks for, if it asks for one. */
  mesh?: DesiredMesh
}

/** What the stages work with once there is a cluster. `istioctl`: where a version of Istio was asked for. */
export type StageContext = RunContext & {
  cluster: Cluster
  connection: Connection
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
  const { code, stderr } = await run(
    istioctl!.path,
    [...args, ...connection.cliArgs],
    signal,
    (line) => /[a-z]/i.test(line) && host.info(line),
  )
  if (code === 0) return
  const lines = stderr.split('\n').filter((line) => line.trim())
  throw new Error(`istioctl ${args[0]} failed: ${lines.slice(-3).join(' ').trim()}`)
}

/** The promotion judges the canary's own pods: broken ones lead to a verdict, not to an error of another stage. */
export function isCanary(config: Config, labels: Record<string, string> | undefined): boolean {
  return canariesOf(config).some(({ service, canary }) => {
    const subset = canary.by === 'subset' ? servicesOf(config)[service]?.subsets?.[canary.name] : undefined
    return subset !== undefined && matches(subset, labels)
  })
}

/** Shows and records each warning once: the stages plan and policies find the same. */
export function warn({ host, recorder }: Pick<RunContext, 'host' | 'recorder'>, warnings: string[]): void {
  const fresh = warnings.filter((warning) => !recorder.current().warnings.includes(warning))
  fresh.forEach(host.warning)
  recorder.record({ warnings: fresh })
}
