// A run over several clusters: the same config in each, wave by wave, with one verdict. Without `clusters`, it is a run in one.
import { join } from 'node:path'
import type { PromotionProgress } from '../canary/active-promotion.ts'
import { fleetOf, type FleetCluster } from '../config/fleet.ts'
import type { Config } from '../config/schema.ts'
import { stagesOf } from '../config/stages.ts'
import { createCoordinator, type Member } from './coordinator.ts'
import { fleetReport } from '../report/fleet-report.ts'
import type { Report } from '../report/report.ts'
import { run } from '../run.ts'
import type { Host } from '../stages/context.ts'

/** `inCluster`: the callbacks that record, for one cluster of a fleet, what is left to do if this process dies. */
export type FleetHost = Host & {
  inCluster: (name: string, config: Config) => Pick<Host, 'onConnected' | 'onRecoveryIntents' | 'onFaultIntent'>
}

/** Never rejects: the report contains the error. */
export async function runFleet(config: Config, host: FleetHost): Promise<Report> {
  const clusters = fleetOf(config)
  if (clusters.length === 0) return run(config, host)
  const began = new Date()
  const hostFor = hostsFor(host)
  const reports = await (needsWaves(config) ? runInWaves(clusters, host.signal, hostFor) : runAtOnce(clusters, hostFor))
  return fleetReport(
    clusters.map(({ name, wave }, i) => ({ name, wave, report: reports[i]! })),
    began,
  )
}

/** Who only looks at a fleet, or returns its traffic to stable, waits for no other cluster, and is not stopped by one. */
function needsWaves(config: Config): boolean {
  return !config.dryRun && !stagesOf(config).every((name) => ['plan', 'verify', 'rollback'].includes(name))
}

type HostFor = (cluster: FleetCluster) => Host

function runAtOnce(clusters: FleetCluster[], hostFor: HostFor): Promise<Report[]> {
  return Promise.all(clusters.map((cluster) => run(cluster.config, hostFor(cluster))))
}

async function runInWaves(clusters: FleetCluster[], signal: AbortSignal, hostFor: HostFor): Promise<Report[]> {
  const members = createCoordinator(clusters, signal)
  const runs: Promise<Report>[] = []
  for (const cluster of clusters) {
    const member = members.get(cluster.name)!
    runs.push(runMember(cluster, hostFor(cluster), member))
    // The checks of one cluster follow those of another, because they fetch the same programs.
    await member.checked
  }
  return Promise.all(runs)
}

async function runMember({ config }: FleetCluster, host: Host, member: Member): Promise<Report> {
  const report = await run(config, host, member)
  const failure = report.error === undefined ? undefined : `the run failed (${report.error.split('\n')[0]})`
  member.ended(failure === undefined ? {} : { failure, rollsBackOthers: true })
  return report
}

/** The host gets the progress of all clusters together. */
function hostsFor(host: FleetHost): HostFor {
  const latest = new Map<string, PromotionProgress[]>()
  return (cluster) => ({
    ...hostIn(cluster, host),
    onProgress: (promotions) => {
      latest.set(
        cluster.name,
        promotions.map((each) => ({ ...each, cluster: cluster.name })),
      )
      host.onProgress?.([...latest.values()].flat())
    },
  })
}

/** Lines of several clusters mix, so each names its cluster, and groups would tear. */
function hostIn({ name, config }: FleetCluster, host: FleetHost): Host {
  const prefixed = (line: string) => `${name}: ${line}`
  return {
    ...host,
    ...host.inCluster(name, config),
    cluster: name,
    outputFolder: join(host.outputFolder, name),
    info: (line) => host.info(prefixed(line)),
    warning: (line) => host.warning(prefixed(line)),
    group: async (stage, work) => {
      host.info(prefixed(`▸ ${stage}`))
      return work()
    },
  }
}
