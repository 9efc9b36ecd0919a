// The stage cluster: a kind cluster is there, as asked, with its nodes ready and its images loaded; what follows acts on it.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { coerce } from 'semver'
import { client } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import { ConfigError } from '../config/error.ts'
import { defaultVersion } from '../config/istio-version.ts'
import { nearest } from '../config/nearest.ts'
import type { ClusterConfig, Config, StageName } from '../config/schema.ts'
import { supportedKubernetes } from '../istioctl/support.ts'
import { causeInLogs } from '../kind/errors.ts'
import { nodeImage } from '../kind/images.ts'
import * as kinds from '../kind/kind.ts'
import { plainHosts, unreachableIngress } from '../kind/ingress.ts'
import { kindConfig, nodePorts, readConfigFile } from '../kind/layout.ts'
import { addressesOf, differences, waitForNodes, versionOf } from '../kind/nodes.ts'
import { kindTool } from '../kind/release.ts'
import { containerRuntime, NoRuntime } from '../kind/runtime.ts'
import { messageOf } from '../runtime/errors.ts'
import type { ClusterReport, Report } from '../report/report.ts'
import { obtain, sourceLabel } from '../tools/obtain.ts'
import { warn, type Host } from './context.ts'

type Asked = ClusterConfig & { name: string }
/** `kubeconfig`: a file of this run's own, in a folder of its own. */
export type ProvidedCluster = { kind: kinds.Kind; kubeconfig: string; created: boolean }

/**
 * Undefined where there is no such cluster and none is to be made: the stage is not listed, or nothing is to be changed.
 * @throws ConfigError before anything is made.
 */
export async function provideCluster(
  config: Config,
  stages: readonly StageName[],
  istio: string | undefined,
  host: Host,
  report: Report,
): Promise<ProvidedCluster | undefined> {
  const asked = askedFor(config, istio)
  const plansOnly = stages.every((stage) => stage === 'plan')
  const kind = await kindFor(asked, config, host).catch((error: unknown) => {
    if (plansOnly && error instanceof NoRuntime) return undefined
    throw error
  })
  if (!kind) return undefined
  const there = await kinds.exists(kind)
  const makes = stages.includes('cluster') && !config.dryRun
  if (!there && plansOnly) return undefined
  if (!there && !stages.includes('cluster'))
    throw new ConfigError(
      `cluster: there is no kind cluster ${kind.name}; let the stage \`cluster\` make it, in this run or an earlier step`,
    )
  if (!there) firstIn(config, stages, kind.name)
  if (makes) await checkImages(kind, asked.loadImages ?? [])
  if (!there && !makes) return void host.info(`the kind cluster ${kind.name} would be made`)

  const kubeconfig = join(mkdtempSync(join(host.tempDir, 'mesh-canary-kind-')), 'kubeconfig')
  report.cluster = {
    name: kind.name,
    action: 'failed',
    kind: asked.version,
    nodes: 0,
    kubeconfig,
    ingress: {},
    loaded: [],
  }
  await (there ? take(kind, kubeconfig, asked, host) : make(kind, kubeconfig, asked, host, report.cluster))
  report.cluster.action = there ? 'used' : 'created'
  const provided = { kind, kubeconfig, created: !there }
  await withLogs(provided, config, host, report, () => ready(provided, asked, makes, config, host, report))
  return provided
}

/** The config file is read, and the image chosen: what can be wrong with them is known before anything is touched. */
function askedFor({ cluster: asked }: Config, istio: string | undefined): Asked {
  const file = asked!.config === undefined ? undefined : readConfigFile(asked!.config)
  const image =
    asked!.image ?? (file?.choosesImage ? undefined : nodeImage(asked!.version, asked!.kubernetes, supportedBy(istio)))
  return { ...asked!, name: asked!.name ?? file?.name ?? 'mesh-canary', ...(image === undefined ? {} : { image }) }
}

/** Of a version that is not known, or not said yet, that of the one that is installed where none is named. */
function supportedBy(istio: string | undefined): ReturnType<typeof supportedKubernetes> {
  const exact = coerce(istio)?.version
  return (exact === undefined ? undefined : supportedKubernetes(exact)) ?? supportedKubernetes(defaultVersion)
}

async function kindFor(
  { name, version, mirror, sha256 }: Asked,
  { limits, cache }: Config,
  host: Host,
): Promise<kinds.Kind> {
  const { signal, info } = host
  const runtime = await containerRuntime(signal)
  const found = await obtain(kindTool, version, {
    mirror,
    ...(sha256 === undefined ? {} : { sha256 }),
    limitMs: limits.download,
    cache,
    signal,
    tell: host,
  })
  info(`kind ${version}: ${sourceLabel[found.from]}, ${found.path}; its nodes run in ${runtime}`)
  return { path: found.path, name, runtime, limitMs: limits.kind, signal, info }
}

/** What is only now to be made holds no application yet. */
function firstIn({ namespace }: Config, stages: readonly StageName[], name: string): void {
  const needs = stages.filter((stage) => !['plan', 'cluster', 'install'].includes(stage))
  if (needs.length > 0 && namespace !== 'default')
    throw new ConfigError(
      `namespace: ${namespace} cannot be there yet, for the kind cluster ${name} is only now to be made; make it in a step of its own (\`stages: cluster, install\`), deploy the application, and then run ${needs.join(', ')} with the same \`cluster\``,
    )
}

async function checkImages(kind: kinds.Kind, images: readonly string[]): Promise<void> {
  const files = images
    .filter((image) => kinds.isArchive(image) && !existsSync(image))
    .map(
      (file) =>
        `cluster.loadImages: the file ${file} does not exist; write it in an earlier step (\`docker save -o ${file} IMAGE\`)`,
    )
  const { missing, known } = await kinds.missingImages(kind, images)
  const absent = missing.map(
    (image) =>
      `cluster.loadImages: the image ${image} is not on this machine${nearest(image, known)}; build it or pull it in an earlier step (\`${kind.runtime} pull ${image}\`)`,
  )
  if (files.length + absent.length > 0) throw new ConfigError([...files, ...absent].join('\n'))
}

/** Before anything is there, the end of the job is told to remove it: this run may die at any moment. */
async function make(
  kind: kinds.Kind,
  kubeconfig: string,
  asked: Asked,
  host: Host,
  told: ClusterReport,
): Promise<void> {
  const left = { path: kind.path, name: kind.name, runtime: kind.runtime, kubeconfig }
  const file = asked.config === undefined ? join(kubeconfig, '..', 'kind.yaml') : resolve(asked.config)
  if (asked.config === undefined)
    writeFileSync(file, kindConfig(asked.nodes ?? 1, asked.ports ?? { http: 80, https: 443 }), { mode: 0o600 })
  host.kind({ ...left, remove: true })
  try {
    await kinds.create(kind, kubeconfig, file, asked.image)
  } catch (error) {
    host.signal.throwIfAborted()
    // Of somebody else's nothing is removed.
    if (!(error instanceof kinds.KindError && error.isTaken))
      throw await afterwards(kind, kubeconfig, asked, host, told, error)
    host.kind({ ...left, remove: false })
    throw error
  }
  host.kind({ ...left, remove: asked.keep !== true })
  host.info(`the kind cluster ${kind.name}: made`)
}

/** Why it could not be made, from its nodes' logs where they say more; and what there is of it goes. */
async function afterwards(
  kind: kinds.Kind,
  kubeconfig: string,
  asked: Asked,
  host: Host,
  told: ClusterReport,
  error: unknown,
): Promise<Error> {
  const logs = await kinds.exportLogs(kind, logsFolder(asked, host)).catch(() => undefined)
  if (logs !== undefined) told.logs = logs
  const cause = logs === undefined ? undefined : await causeInLogs(logs)
  const problem = await kinds.remove(kind, kubeconfig).then(
    () => '',
    (failed: unknown) => `; and what there is of it could not be removed: ${messageOf(failed)}`,
  )
  if (problem === '') host.kind({ path: kind.path, name: kind.name, runtime: kind.runtime, kubeconfig, remove: false })
  return new Error(
    `${cause ?? messageOf(error)}${logs === undefined ? '' : ` (the logs of its nodes are in ${logs})`}${problem}`,
  )
}

/** One that was there goes at the end only when that was said. */
async function take(kind: kinds.Kind, kubeconfig: string, asked: Asked, host: Host): Promise<void> {
  const stopped = (await kinds.containers(kind)).filter(({ state }) => !/^up\b/i.test(state))
  const byHand = `start it (\`${kind.runtime} start ${stopped.map(({ name }) => name).join(' ')}\`), or delete it and run this again (\`kind delete cluster --name ${kind.name}\`)`
  if (stopped.length > 0)
    throw new ConfigError(
      `cluster: the kind cluster ${kind.name} is there, but stopped: ${stopped.map(({ name, state }) => `${name} ${state}`).join(', ')}; ${byHand}`,
    )
  const content = await kinds.kubeconfigOf(kind).catch((error: unknown) => {
    host.signal.throwIfAborted()
    throw new ConfigError(
      `cluster: the kind cluster ${kind.name} is there, but has no kubeconfig, as one whose making was cut short (${messageOf(error)}); delete it and run this again (\`kind delete cluster --name ${kind.name}\`)`,
    )
  })
  writeFileSync(kubeconfig, content, { mode: 0o600 })
  host.kind({ path: kind.path, name: kind.name, runtime: kind.runtime, kubeconfig, remove: asked.keep === false })
  host.info(`the kind cluster ${kind.name}: was there, and is used`)
}

async function ready(
  { kind, kubeconfig, created }: ProvidedCluster,
  asked: Asked,
  makes: boolean,
  config: Config,
  host: Host,
  report: Report,
): Promise<void> {
  const api = client(connection(kubeconfig, undefined, host.tempDir), config.limits)
  const names = (await kinds.containers(kind))
    .map(({ name }) => name)
    .filter((name) => !name.endsWith('-external-load-balancer'))
  const nodes = await waitForNodes(api, names.length, asked.wait, host.signal)
  const told = report.cluster!
  const mapped = await kinds.ingressOf(kind, names)
  const ingress = mapped.http === undefined ? inside(addressesOf(nodes)) : mapped
  Object.assign(told, {
    nodes: nodes.length,
    ingress,
    ...(versionOf(nodes) === undefined ? {} : { kubernetes: versionOf(nodes) }),
  })
  host.info(
    `${nodes.length} node${nodes.length === 1 ? '' : 's'} ready, Kubernetes ${told.kubernetes ?? 'unknown'}; ${ingress.http === undefined ? `no port of this machine leads to the ingress gateway: map the node port ${nodePorts.http} (\`extraPortMappings\`)` : `the ingress gateway's address is ${ingress.http}`}`,
  )
  if (!created)
    for (const text of differences(config.cluster!, nodes, mapped))
      warn({ host, report }, [
        `cluster: ${kind.name} was there, and ${text}; delete it to have it made anew, or change what is asked`,
      ])
  if (!makes || !asked.loadImages) return
  await kinds.load(kind, asked.loadImages, join(kubeconfig, '..'))
  told.loaded = asked.loadImages
  host.info(`loaded: ${asked.loadImages.join(', ')}`)
}

/** On Linux the nodes' own network is reached from outside the containers. */
function inside([address]: string[]): { http?: string; https?: string } {
  return process.platform === 'linux' && address !== undefined
    ? { http: `${address}:${nodePorts.http}`, https: `${address}:${nodePorts.https}` }
    : {}
}

function logsFolder({ logs }: Pick<ClusterConfig, 'logs'>, { tempDir }: Host): string {
  return logs ?? join(tempDir, 'mesh-canary-kind-logs')
}

/** What fails on the cluster leaves the logs of its nodes; what was wrong in the config does not. */
export async function withLogs<T>(
  { kind }: ProvidedCluster,
  { cluster }: Config,
  host: Host,
  report: Report,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ConfigError || host.signal.aborted || report.cluster?.logs !== undefined) throw error
    const logs = await kinds
      .exportLogs(kind, logsFolder(cluster!, host))
      .catch((problem: unknown) => void host.info(`the logs of the nodes could not be had: ${messageOf(problem)}`))
    if (logs !== undefined) {
      report.cluster!.logs = logs
      host.info(`the logs of the nodes are in ${logs}`)
    }
    throw error
  }
}

/** What is exposed answers on this machine, or it is told why it does not. */
export async function checkIngress(config: Config, host: Host, report: Report): Promise<void> {
  const [name] = plainHosts(config)
  const address = report.cluster?.ingress.http
  if (config.dryRun || name === undefined || address === undefined) return
  const problem = await unreachableIngress(address, name, 30_000, host.signal)
  if (problem === undefined) host.info(`the ingress gateway answers at ${address}`)
  else
    warn({ host, report }, [
      `cluster: nothing answers for ${name} at ${address} (${problem}); the ingress gateway must be there with a Service of type NodePort on port ${nodePorts.http}, as the stage \`install\` makes it with \`cluster\``,
    ])
}

/** At the end of a job. */
export async function removeCluster(
  { path, name, runtime, kubeconfig }: kinds.LeftCluster,
  info: (line: string) => void,
): Promise<void> {
  const kind = { path, name, runtime, limitMs: 120_000, signal: new AbortController().signal, info }
  await kinds.remove(kind, kubeconfig).catch((error: unknown) => {
    throw new Error(
      `the kind cluster ${name} could not be deleted: ${messageOf(error)}; do it by hand: kind delete cluster --name ${name}`,
    )
  })
}
