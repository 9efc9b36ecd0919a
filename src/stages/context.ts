// What the stages share: whom they tell, what they work on, and what they add to the report.
import type { RecoveryIntent } from '../canary/promote.ts'
import type { Cluster } from '../cluster/client.ts'
import type { Connection } from '../cluster/connect.ts'
import { matches } from '../cluster/labels.ts'
import { canariesOf, servicesOf } from '../config/names.ts'
import type { Config, StageName } from '../config/schema.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { run } from '../tools/run.ts'
import type { DesiredMesh } from '../mesh/install.ts'
import type { LeftCluster } from '../kind/kind.ts'
import type { Report } from '../report/report.ts'
import type { Obtained } from '../tools/obtain.ts'

/** What a run needs of whoever starts it: GitHub's runner, or a shell. */
export type Host = {
  signal: AbortSignal
  tempDir: string
  info: (line: string) => void
  warning: (line: string) => void
  /** Lines told inside belong together under the name. */
  group: <T>(name: string, work: () => Promise<T>) => Promise<T>
  mask: (secret: string) => void
  /** Told when istioctl is there, so that later steps find it. */
  istioctl: (found: Obtained) => void
  /** Told what is to be removed at the end of the job, and what of it only should this process die; before it is made. */
  kind: (left: LeftCluster) => void
  /** Told what to undo should this process die; none when there is nothing left to undo. */
  intent: (intents: RecoveryIntent[]) => void
  /** Where this run can be looked at, or its name: told to others whom it keeps waiting. */
  run: string
  /** The guard's program, as text. */
  guardProgram: () => string
  connected: (connection: Connection) => void
}

/** `hide` takes secrets out of what is kept outside. */
export type StageContext = {
  redact: <T>(value: T) => T
  config: Config
  host: Host
  cluster: Cluster
  connection: Connection
  stages: StageName[]
  asked?: DesiredMesh
  report: Report
}

/** Each stage answers whether it changed anything. */
export type StageOutcome = { changed: boolean }
export type Stage = (running: StageContext) => Promise<StageOutcome>

/** Runs istioctl against the cluster, its lines told as they come; rejects with its last words when it fails. */
export async function istioctl({ config, report, connection, host }: StageContext, args: string[]): Promise<void> {
  const ownWait = config.istio?.timeout ?? 0
  const signal = withTimeout(
    host.signal,
    config.limits.istioctl + ownWait,
    `istioctl ${args[0] ?? ''}`,
    'limits.istioctl',
  )
  const { code, stderr } = await run(
    report.istioctl!.path,
    [...args, ...connection.cliArgs],
    signal,
    (line) => /[a-z]/i.test(line) && host.info(line),
  )
  if (code !== 0)
    throw new Error(
      `istioctl ${args[0]} failed: ${stderr
        .split('\n')
        .filter((line) => line.trim())
        .slice(-3)
        .join(' ')
        .trim()}`,
    )
}

/** The canary's own pods are the promotion's to judge: they may be broken, and that is a verdict, not an error. */
export function isCanary(config: Config, labels: Record<string, string> | undefined): boolean {
  return canariesOf(config).some(({ service, canary }) => {
    const subset = canary.by === 'subset' ? servicesOf(config)[service]?.subsets?.[canary.name] : undefined
    return subset !== undefined && matches(subset, labels)
  })
}

/** Once each: the stages plan and policies see the same. */
export function warn({ host, report }: Pick<StageContext, 'host' | 'report'>, warnings: string[]): void {
  const fresh = warnings.filter((warning) => !report.warnings.includes(warning))
  fresh.forEach(host.warning)
  report.warnings.push(...fresh)
}
