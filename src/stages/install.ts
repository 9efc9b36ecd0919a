// The stage install: istioctl at hand, the control plane as asked.
import { ApiError, type Cluster } from '../cluster/client.ts'
import { systemNamespace, type Pod } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { choose } from '../istioctl/choose.ts'
import { istioctlTool } from '../istioctl/release.ts'
import { supportWarnings } from '../istioctl/support.ts'
import { meshCost } from '../mesh/cost.ts'
import { ensureMesh, installedVersion, isAsAsked, wanted } from '../mesh/install.ts'
import { isReady } from '../mesh/sidecar.ts'
import { obtain, type Obtained } from '../tools/obtain.ts'
import { causeOf } from '../verify/cause.ts'
import { istioctl, type Done, type Running } from './running.ts'

/** The exact version takes the place of what was asked for, from here on. */
export async function pin(running: Running): Promise<void> {
  const { config, host, cluster } = running
  const { version: spec, mirror, checkLatest } = config.istio!
  // Whoever may not look there is not kept from choosing.
  const installed = () => installedVersion(cluster).then((live) => live?.version, unlessForbidden)
  const { version, because, warning } = await choose({ spec, mirror, checkLatest, installed, limitMs: config.limits.download }, { token: config.token, signal: host.signal })
  if (because !== undefined) host.info(because)
  if (warning !== undefined) warn(running, warning)
  const istio = { ...config.istio!, version }
  Object.assign(running, { config: { ...config, istio }, asked: wanted(istio) })
}

function unlessForbidden(error: unknown): undefined {
  if (!(error instanceof ApiError && error.status === 403)) throw error
}

function warn({ host, report }: Running, warning: string): void {
  host.warning(warning)
  report.warnings.push(warning)
}

/** Istio out of support, or on a Kubernetes that it is not tested with. */
export async function checkSupport(running: Running): Promise<void> {
  for (const warning of supportWarnings(running.config.istio!.version, await running.cluster.version())) warn(running, warning)
}

export async function getIstioctl({ config, host, report }: Running): Promise<void> {
  const { version, mirror, sha256 } = config.istio!
  const found = await obtain(istioctlTool, version, { mirror, ...(sha256 === undefined ? {} : { sha256 }), limitMs: config.limits.download, cache: config.cache, signal: host.signal, tell: host })
  host.info(`istioctl ${found.version}: ${whence[found.from]}, ${found.path}`)
  host.istioctl(found)
  report.istioctl = { path: found.path, version: found.version, cacheHit: found.cacheHit }
}

const whence: Record<Obtained['from'], string> = { 'tool cache': 'from the tool cache', cache: 'from the cache between runs, verified', download: 'downloaded and verified' }

/** What the mesh will ask of the nodes: told, and an error when it would not fit. Needs to read nodes and all pods; without that right, it says so. */
export async function weigh({ config, host, cluster, report }: Running): Promise<void> {
  try {
    report.cost = await meshCost(cluster, config.namespace, config.istio?.profile)
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 403)) throw error
    return host.info(`what the mesh will cost is not known: ${error.message}`)
  }
  const { text, fits, worthIt, why } = report.cost
  if (!fits) throw new ConfigError(`istio: ${text}`)
  host.info(text)
  if (worthIt === 'doubtful') host.info(`a mesh may not be worth it here: ${why}`)
}

export async function install(running: Running): Promise<Done> {
  const { config, host, cluster, asked, report } = running
  if (config.dryRun) {
    const changed = !(await isAsAsked(cluster, asked!))
    host.info(changed ? `Istio ${asked!.version} would be installed or changed` : `Istio ${asked!.version}: already as asked`)
    return { changed }
  }
  const mesh = await ensureMesh(cluster, asked!, (args) =>
    istioctl(running, ['install', '-y', '--readiness-timeout', `${Math.ceil(config.istio!.timeout / 1000)}s`, ...args]).catch(withCauses(cluster)),
  )
  report.mesh = mesh
  host.info(`Istio ${mesh.version}: ${mesh.action === 'unchanged' ? 'already as asked, nothing changed' : mesh.action}`)
  return { changed: mesh.action !== 'unchanged' }
}

/** istioctl says that it waited in vain; why is written on the pods. */
function withCauses(cluster: Cluster) {
  return async (error: unknown): Promise<never> => {
    const pods = (await cluster.list<Pod>('Pod', systemNamespace).catch(() => [])).filter((pod) => !isReady(pod))
    const causes = await Promise.all(pods.map(async (pod) => `\n${pod.metadata.name}: ${await causeOf(cluster, pod)}`))
    throw new Error(`${error instanceof Error ? error.message : String(error)}${causes.join('')}`)
  }
}
