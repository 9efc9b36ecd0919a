// Runs after a run that ended, failed or died: recovers unfinished promotions, removes an injected fault and what the run
// created.
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { RecoveryIntent } from './canary/active-promotion.ts'
import { allCanariesOf } from './config/names.ts'
import type { Config } from './config/schema.ts'
import type { FaultIntent } from './experiments/experiment.ts'
import type { KindClusterToDelete } from './kind/kind.ts'
import { tempDir } from './runtime/environment.ts'
import { messageOf } from './runtime/errors.ts'
import type { Host } from './stages/context.ts'
import { settleAll } from './runtime/settle-all.ts'

/**
 * What is left to do if the run dies now. `held`: the run was cancelled, and `onCancel` keeps the weights.
 * `temporaryFile`: a kubeconfig that the run wrote, to be removed with its folder.
 */
export type PostState = {
  temporaryFile?: string
  kubeconfig?: string
  context?: string
  intents?: RecoveryIntent[]
  held?: boolean
  faults?: FaultIntent[]
  kind?: KindClusterToDelete
  /** Of a fleet: by the name of the cluster. */
  clusters?: Record<string, ClusterPostState>
}

/** Of one cluster of a fleet. */
export type ClusterPostState = Omit<PostState, 'clusters' | 'kind'>

export type PostHooks = Pick<Host, 'onConnected' | 'onKindCluster' | 'onRecoveryIntents' | 'onFaultIntent'> & {
  /** To be called when the run is cancelled. */
  onCancel: () => void
}

/** The callbacks of a host that record what is left to do; `save` gets the whole state at each change. */
export function recordPostState(config: Config, save: (state: PostState) => void): PostHooks {
  const state: PostState = { ...(config.context === undefined ? {} : { context: config.context }) }
  const add = (more: PostState) => save(Object.assign(state, more))
  const holds = allCanariesOf(config).every(({ onCancel }) => onCancel === 'hold')
  return {
    onCancel: () => void (holds && add({ held: true })),
    onConnected: ({ temporaryFile }) => {
      const kubeconfig = temporaryFile ?? config.kubeconfig
      add({
        ...(temporaryFile === undefined ? {} : { temporaryFile }),
        ...(kubeconfig === undefined ? {} : { kubeconfig }),
      })
    },
    onKindCluster: (kind) => add({ kind }),
    onRecoveryIntents: (intents) => add({ intents }),
    onFaultIntent: (experiment, fault) => {
      const others = (state.faults ?? []).filter((each) => each.experiment !== experiment)
      add({ faults: fault ? [...others, fault] : others })
    },
  }
}

/** True if the traffic of users is not as the run should leave it. */
export function hasLeftTraffic({ intents = [], faults = [], clusters = {} }: PostState): boolean {
  return intents.length + faults.length > 0 || Object.values(clusters).some(hasLeftTraffic)
}

/** True if the run was cancelled, and all its unfinished promotions keep their weights. */
export function holdsWeights({ clusters = {}, ...own }: PostState): boolean {
  const open = [own, ...Object.values(clusters)].filter(({ intents = [] }) => intents.length > 0)
  return open.length > 0 && open.every(({ held }) => held === true)
}

/**
 * Returns one sentence for each thing it did.
 * @throws Error that names the services whose traffic is not back on stable, the fault that is left, and the cluster that
 * could not be deleted.
 */
export async function runPost(state: PostState, info: (line: string) => void): Promise<string[]> {
  const { kind, temporaryFile = kind?.kubeconfig } = state
  const problems: string[] = []
  const done = await recoverPromotions(state, info).catch((error: unknown) => void problems.push(messageOf(error)))
  const removed: string[] = []
  for (const fault of state.faults ?? [])
    await restoreFault(state, fault)
      .then((lines) => removed.push(...lines))
      .catch((error: unknown) => problems.push(messageOf(error)))
  if (kind?.remove) await removeKindCluster(kind, info).catch((error: unknown) => void problems.push(messageOf(error)))
  if (temporaryFile) rmSync(dirname(temporaryFile), { recursive: true, force: true })
  // At once, so that a cluster that does not answer keeps no other from its recovery.
  const inClusters = Object.entries(state.clusters ?? {}).map(([name, left]) =>
    runPost(left, (line) => info(`${name}: ${line}`))
      .then((lines) => removed.push(...lines.map((line) => `${name}: ${line}`)))
      .catch((error: unknown) => problems.push(`${name}: ${messageOf(error)}`)),
  )
  await Promise.all(inClusters)
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return [...(done ?? []), ...removed]
}

async function restoreFault({ kubeconfig, context }: PostState, fault: FaultIntent): Promise<string[]> {
  try {
    const [{ createClient, urgent }, { connection }, { restoreAfterRun }] = await Promise.all([
      import('./cluster/client.ts'),
      import('./cluster/connect.ts'),
      import('./experiments/recovery.ts'),
    ])
    const cluster = urgent(createClient(connection(kubeconfig, context, tempDir())))
    const done = await restoreAfterRun(cluster, fault)
    return done === undefined ? [] : [`the run ended in the middle of an experiment: ${done}`]
  } catch (error) {
    throw new Error(
      `the run ended in the middle of the experiment ${fault.experiment}, and its fault is not removed: ${messageOf(error)}`,
    )
  }
}

async function recoverPromotions(
  { intents = [], held = false, kubeconfig, context }: PostState,
  info: (line: string) => void,
): Promise<string[]> {
  if (intents.length === 0) return []
  try {
    // Loaded only here, because most runs leave nothing to recover.
    const [{ createClient, urgent }, { connection }, { recoverPromotion }, { recoverFollowed }] = await Promise.all([
      import('./cluster/client.ts'),
      import('./cluster/connect.ts'),
      import('./canary/recovery.ts'),
      import('./engines/recovery.ts'),
    ])
    const cluster = urgent(createClient(connection(kubeconfig, context, tempDir())))
    const results = await settleAll(
      intents.map((intent) => (intent.followed ? recoverFollowed : recoverPromotion)(cluster, intent, held, info)),
    )
    return results.flatMap((done) => done ?? []).map((done) => `the run ended in the middle of a promotion: ${done}`)
  } catch (error) {
    const services = intents.map(({ split }) => split.service).join(', ')
    throw new Error(
      `the run ended in the middle of a promotion, and the traffic of ${services} is not back on stable: ` +
        messageOf(error),
    )
  }
}

async function removeKindCluster(kind: KindClusterToDelete, info: (line: string) => void): Promise<void> {
  const { removeCluster } = await import('./stages/cluster.ts')
  await removeCluster(kind, info)
  info(`the kind cluster ${kind.name}: deleted`)
}
