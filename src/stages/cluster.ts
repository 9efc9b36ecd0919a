// The stage cluster: creates a kind cluster or uses an existing one, waits for its nodes and loads images. The later
// stages use it.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { coerce } from 'semver'
import { createClient } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { ConfigError } from '../config/error.ts'
import { defaultVersion } from '../config/istio-version.ts'
import { nearest } from '../config/nearest.ts'
import type { ClusterConfig, Config } from '../config/schema.ts'
import type { StageName } from '../config/schema/stages.ts'
import { clusterDefaults } from '../config/schema/cluster.ts'
import { supportedKubernetes } from '../istioctl/support.ts'
import { causeInLogs } from '../kind/errors.ts'
import { nodeImage } from '../kind/images.ts'
import * as kindCli from '../kind/kind.ts'
import { plainHosts, unreachableIngress } from '../kind/ingress.ts'
import { kindConfig, nodePorts, readConfigFile } from '../kind/layout.ts'
import { addressesOf, differences, waitForNodes, versionOf } from '../kind/nodes.ts'
import { kindTool } from '../kind/release.ts'
import { containerRuntime, NoRuntime } from '../kind/runtime.ts'
import { messageOf } from '../runtime/errors.ts'
import { plural } from '../runtime/plural.ts'
import { obtain, sourceLabel } from '../tools/obtain.ts'
import { warn, type RunContext } from './context.ts'

/** The config's section with a name, and with an image unless the config file or kind chooses it. */
type Wanted = ClusterConfig & { name: string }

/** `kubeconfig`: a file that this run writes, in its own folder. */
export type ProvidedCluster = { kind: kindCli.KindCluster; kubeconfig: string; created: boolean }

/** The run, its kind cluster, and the config's section for it. */
type KindContext = RunContext & ProvidedCluster & { wanted: Wanted }

/**
 * Undefined if the cluster does not exist and this run does not create it: it is a dry run, or it only plans.
 * @throws ConfigError before anything is created.
 */
export async function provideCluster(context: RunContext): Promise<ProvidedCluster | undefined> {
  const { config, stages, host, mesh, recorder } = context
  const wanted = wantedCluster(config, mesh?.version)
  const kind = await findKind(context, wanted)
  if (!kind) return undefined
  const exists = await kindCli.clusterExists(kind)
  const isActive = stages.includes('cluster') && !config.dryRun
  if (!exists && stages.every((stage) => stage === 'plan')) return undefined
  if (!exists && !stages.includes('cluster'))
    throw new ConfigError(
      `cluster: there is no kind cluster ${kind.name}; run the stage \`cluster\`, in this run or an earlier step`,
    )
  if (!exists) refuseNamespace(config, stages, kind.name)
  if (isActive) await checkImages(kind, wanted.loadImages ?? [])
  if (!exists && !isActive) return void host.info(`the kind cluster ${kind.name} would be created`)

  const kubeconfig = join(mkdtempSync(join(host.tempDir, 'mesh-canary-kind-')), 'kubeconfig')
  const provided = { kind, kubeconfig, created: !exists }
  const kindContext = { ...context, ...provided, wanted }
  const start = { name: kind.name, kind: wanted.version, nodes: 0, kubeconfig, ingress: {}, loaded: [] }
  recorder.record({ cluster: { ...start, action: 'failed' } })
  await (exists ? useCluster(kindContext) : makeCluster(kindContext))
  recorder.record({ cluster: { action: exists ? 'used' : 'created' } })
  await withLogs(context, provided, async () => {
    await waitUntilReady(kindContext)
    if (isActive && wanted.loadImages) await loadImages(kindContext, wanted.loadImages)
  })
  return provided
}

/**
 * Reads the config file and chooses the node image, so that the run reports faults in them before it changes anything.
 */
function wantedCluster({ cluster }: Config, istioVersion: string | undefined): Wanted {
  const { config, image, version, kubernetes, name } = cluster!
  const file = config === undefined ? undefined : readConfigFile(config)
  const chosen = image ?? (file?.choosesImage ? undefined : nodeImage(version, kubernetes, supportedBy(istioVersion)))
  return {
    ...cluster!,
    name: name ?? file?.name ?? clusterDefaults.name,
    ...(chosen === undefined ? {} : { image: chosen }),
  }
}

/** The Kubernetes versions that this Istio supports; those of the default version if it is unknown. */
function supportedBy(istioVersion: string | undefined): ReturnType<typeof supportedKubernetes> {
  const exact = coerce(istioVersion)?.version
  return (exact === undefined ? undefined : supportedKubernetes(exact)) ?? supportedKubernetes(defaultVersion)
}

/** kind with its container runtime; undefined when there is no runtime, and the run only plans. */
async function findKind(context: RunContext, wanted: Wanted): Promise<kindCli.KindCluster | undefined> {
  const { name, version, mirror, sha256 } = wanted
  const { config, stages, host } = context
  const { signal, info } = host
  const runtime = await containerRuntime(signal).catch((error: unknown) => {
    if (error instanceof NoRuntime && stages.every((stage) => stage === 'plan')) return undefined
    throw error
  })
  if (runtime === undefined) return undefined
  const found = await obtain(kindTool, version, {
    mirror,
    ...(sha256 === undefined ? {} : { sha256 }),
    limitMs: config.limits.download,
    cache: config.cache,
    signal,
    log: host,
  })
  info(`kind ${version}: ${sourceLabel[found.from]}, ${found.path}; its nodes run in ${runtime}`)
  return { path: found.path, name, runtime, limitMs: config.limits.kind, signal, info }
}

/** A cluster that this run creates holds no application yet. */
function refuseNamespace({ namespace }: Config, stages: readonly StageName[], name: string): void {
  const needing = stages.filter((stage) => !['plan', 'cluster', 'install'].includes(stage))
  if (needing.length === 0 || namespace === 'default') return
  throw new ConfigError(
    `namespace: ${namespace} cannot exist yet, because this run creates the kind cluster ${name}; ` +
      'create it in a step of its own (`stages: cluster, install`), deploy the application, ' +
      `and then run ${needing.join(', ')} with the same \`cluster\``,
  )
}

async function checkImages(kind: kindCli.KindCluster, images: readonly string[]): Promise<void> {
  const files = images
    .filter((image) => kindCli.isArchive(image) && !existsSync(image))
    .map((file) => {
      const remedy = `write it in an earlier step (\`docker save -o ${file} IMAGE\`)`
      return `cluster.loadImages: the file ${file} does not exist; ${remedy}`
    })
  const { missing, known } = await kindCli.imagesNotOnMachine(kind, images)
  const absent = missing.map((image) => {
    const remedy = `build it or pull it in an earlier step (\`${kind.runtime} pull ${image}\`)`
    return `cluster.loadImages: the image ${image} is not on this machine${nearest(image, known)}; ${remedy}`
  })
  if (files.length + absent.length > 0) throw new ConfigError([...files, ...absent].join('\n'))
}

/** What the post step needs to know of the cluster; `remove`: whether it deletes it. */
function leftCluster({ kind, kubeconfig }: KindContext, remove: boolean): kindCli.KindClusterToDelete {
  return { path: kind.path, name: kind.name, runtime: kind.runtime, kubeconfig, remove }
}

/** Tells the host what to remove before it creates anything, because this run may be killed at any moment. */
async function makeCluster(context: KindContext): Promise<void> {
  const { kind, kubeconfig, wanted, host } = context
  const file = wanted.config === undefined ? join(kubeconfig, '..', 'kind.yaml') : resolve(wanted.config)
  if (wanted.config === undefined) {
    const { nodes = clusterDefaults.nodes, ports = clusterDefaults.ports } = wanted
    writeFileSync(file, kindConfig(nodes, ports), { mode: 0o600 })
  }
  host.onKindCluster(leftCluster(context, true))
  try {
    await kindCli.createCluster(kind, kubeconfig, file, wanted.image)
  } catch (error) {
    host.signal.throwIfAborted()
    const isTaken = error instanceof kindCli.KindError && error.isTaken
    if (!isTaken) throw await cleanUpFailed(context, error)
    // Another job has created the cluster of this name meanwhile, so this run must not remove it.
    host.onKindCluster(leftCluster(context, false))
    throw error
  }
  host.onKindCluster(leftCluster(context, wanted.keep !== true))
  host.info(`the kind cluster ${kind.name}: created`)
}

/** Finds out from the nodes' logs why the cluster could not be created, and removes the rest of it. */
async function cleanUpFailed(context: KindContext, error: unknown): Promise<Error> {
  const { kind, kubeconfig, recorder, host } = context
  const logs = await kindCli.exportLogs(kind, logsFolder(context)).catch(() => undefined)
  if (logs !== undefined) recorder.record({ cluster: { logs } })
  const cause = (logs === undefined ? undefined : await causeInLogs(logs)) ?? messageOf(error)
  const where = logs === undefined ? '' : ` (the logs of its nodes are in ${logs})`
  try {
    await kindCli.deleteCluster(kind, kubeconfig)
    host.onKindCluster(leftCluster(context, false))
    return new Error(`${cause}${where}`)
  } catch (problem) {
    return new Error(`${cause}${where}; and the rest of it could not be removed: ${messageOf(problem)}`)
  }
}

/** Uses the cluster that exists. The end of the job removes it only with `keep: false`. */
async function useCluster(context: KindContext): Promise<void> {
  const { kind, kubeconfig, wanted, host } = context
  await refuseStopped(kind)
  const content = await kindCli.kubeconfigOf(kind).catch((error: unknown) => {
    host.signal.throwIfAborted()
    throw new ConfigError(
      `cluster: the kind cluster ${kind.name} exists, but has no kubeconfig, probably because its creation was ` +
        `interrupted (${messageOf(error)}); delete it and run this again (\`kind delete cluster --name ${kind.name}\`)`,
    )
  })
  writeFileSync(kubeconfig, content, { mode: 0o600 })
  host.onKindCluster(leftCluster(context, wanted.keep === false))
  host.info(`the kind cluster ${kind.name}: already exists; using it`)
}

async function refuseStopped(kind: kindCli.KindCluster): Promise<void> {
  const stopped = (await kindCli.containers(kind)).filter(({ state }) => !/^up\b/i.test(state))
  if (stopped.length === 0) return
  const states = stopped.map(({ name, state }) => `${name} ${state}`).join(', ')
  const start = `${kind.runtime} start ${stopped.map(({ name }) => name).join(' ')}`
  throw new ConfigError(
    `cluster: the kind cluster ${kind.name} exists, but is stopped: ${states}; start it (\`${start}\`), ` +
      `or delete it and run this again (\`kind delete cluster --name ${kind.name}\`)`,
  )
}

async function waitUntilReady(context: KindContext): Promise<void> {
  const { kind, kubeconfig, created, wanted, config, host, recorder } = context
  const api = createClient(connection(kubeconfig, undefined, host.tempDir), config.limits)
  const names = (await kindCli.containers(kind))
    .map(({ name }) => name)
    .filter((name) => !name.endsWith('-external-load-balancer'))
  const nodes = await waitForNodes(api, names.length, wanted.wait, host.signal)
  const mapped = await kindCli.ingressOf(kind, names)
  const ingress = mapped.http === undefined ? ingressInside(addressesOf(nodes)) : mapped
  const kubernetes = versionOf(nodes)
  recorder.record({ cluster: { nodes: nodes.length, ingress, ...(kubernetes === undefined ? {} : { kubernetes }) } })
  const address =
    ingress.http === undefined
      ? 'no port of this machine leads to the ingress gateway: ' +
        `map the node port ${nodePorts.http} (\`extraPortMappings\`)`
      : `the ingress gateway's address is ${ingress.http}`
  host.info(`${plural(nodes.length, 'node')} ready, Kubernetes ${kubernetes ?? 'unknown'}; ${address}`)
  if (created) return
  for (const difference of differences(config.cluster!, nodes, mapped))
    warn(context, [
      `cluster: ${kind.name} exists, and ${difference}; ` +
        'delete it so that this run creates it again, or change the config',
    ])
}

async function loadImages({ kind, kubeconfig, host, recorder }: KindContext, images: string[]): Promise<void> {
  await kindCli.loadImages(kind, images, join(kubeconfig, '..'))
  recorder.record({ cluster: { loaded: images } })
  host.info(`loaded: ${images.join(', ')}`)
}

/** On Linux the nodes' own network can be reached from outside the containers. */
function ingressInside([address]: string[]): { http?: string; https?: string } {
  return process.platform === 'linux' && address !== undefined
    ? { http: `${address}:${nodePorts.http}`, https: `${address}:${nodePorts.https}` }
    : {}
}

function logsFolder({ config, host }: RunContext): string {
  return config.cluster?.logs ?? join(host.tempDir, 'mesh-canary-kind-logs')
}

/** Exports the nodes' logs if the work on the cluster fails, but not for a fault in the config. */
export async function withLogs<T>(
  context: RunContext,
  { kind }: Pick<ProvidedCluster, 'kind'>,
  work: () => Promise<T>,
): Promise<T> {
  const { host, recorder } = context
  try {
    return await work()
  } catch (error) {
    const hasLogs = recorder.current().cluster?.logs !== undefined
    if (error instanceof ConfigError || host.signal.aborted || hasLogs) throw error
    const logs = await kindCli
      .exportLogs(kind, logsFolder(context))
      .catch((problem: unknown) => void host.info(`the logs of the nodes could not be exported: ${messageOf(problem)}`))
    if (logs !== undefined) {
      recorder.record({ cluster: { logs } })
      host.info(`the logs of the nodes are in ${logs}`)
    }
    throw error
  }
}

/** Requests an exposed host from the ingress gateway, and warns with the cause if there is no answer. */
export async function checkIngress(context: RunContext): Promise<void> {
  const { config, host, recorder } = context
  const [name] = plainHosts(config)
  const address = recorder.current().cluster?.ingress.http
  if (config.dryRun || name === undefined || address === undefined) return
  const problem = await unreachableIngress(address, name, 30_000, host.signal)
  if (problem === undefined) return host.info(`the ingress gateway answers at ${address}`)
  warn(context, [
    `cluster: nothing answers for ${name} at ${address} (${problem}); the ingress gateway needs a Service of type ` +
      `NodePort on port ${nodePorts.http}, as the stage \`install\` makes it with \`cluster\``,
  ])
}

/** For the post step. */
export async function removeCluster(
  { path, name, runtime, kubeconfig }: kindCli.KindClusterToDelete,
  info: (line: string) => void,
): Promise<void> {
  const kind = { path, name, runtime, limitMs: 120_000, signal: new AbortController().signal, info }
  await kindCli.deleteCluster(kind, kubeconfig).catch((error: unknown) => {
    const byHand = `kind delete cluster --name ${name}`
    throw new Error(`the kind cluster ${name} could not be deleted: ${messageOf(error)}; delete it by hand: ${byHand}`)
  })
}
