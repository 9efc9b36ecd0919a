// Checks before the run changes anything: the config against the cluster, the cost of the mesh, and the version of
// Istio.
import { isForbidden, undefinedWhenForbidden } from '../cluster/api-error.ts'
import { ConfigError } from '../config/error.ts'
import type { Config, IstioConfig } from '../config/schema.ts'
import { gatewayValues } from '../kind/layout.ts'
import { changesRequests, meshCost } from '../mesh/cost.ts'
import { desiredMesh, proxyStats, type DesiredMesh } from '../mesh/install.ts'
import { listControlPlanes } from '../mesh/revisions.ts'
import { choose } from '../istioctl/choose.ts'
import { istioctlTool } from '../istioctl/release.ts'
import { supportWarnings } from '../istioctl/support.ts'
import { obtain, sourceLabel } from '../tools/obtain.ts'
import { warn, type RunContext, type StageContext } from './context.ts'
import { preflight } from './preflight.ts'
import { planReleases } from './release.ts'

/** Returns the context with the exact version of Istio and with istioctl, if the config asks for Istio. */
export async function checkRun(initial: StageContext): Promise<StageContext> {
  const { cluster, stages } = initial
  const context = await planReleases(initial)
  const { config } = context
  await preflight(cluster, config, stages)
  if (stages.includes('install') || stages.includes('inject')) await reportCost(context)
  if (!config.istio) return context
  const pinned = await pinVersion(context, () => installedVersion(context))
  const server = await cluster.version().catch(undefinedWhenForbidden)
  if (stages.includes('install') && server !== undefined)
    warn(context, supportWarnings(pinned.config.istio!.version, server))
  return { ...context, ...pinned, istioctl: await installIstioctl({ ...context, ...pinned }) }
}

/** The version of the control plane with the config's revision; undefined if the user may not read it. */
async function installedVersion({ cluster, mesh }: StageContext): Promise<string | undefined> {
  try {
    const planes = await listControlPlanes(cluster)
    return planes.find(({ revision }) => revision === mesh!.revision)?.version
  } catch (error) {
    if (isForbidden(error)) return undefined
    throw error
  }
}

/** The config with an exact version of Istio instead of a range, and the mesh that follows from it. */
export async function pinVersion(
  context: RunContext,
  installed: () => Promise<string | undefined> = () => Promise.resolve(undefined),
): Promise<Required<Pick<RunContext, 'config' | 'mesh'>>> {
  const { config, host } = context
  const { version: spec, mirror, checkLatest } = config.istio!
  const { version, because, warning } = await choose(
    { spec, mirror, checkLatest, installed, limitMs: config.limits.download },
    { token: config.token, signal: host.signal },
  )
  if (because !== undefined) host.info(because)
  if (warning !== undefined) warn(context, [warning])
  const istio = { ...config.istio!, version }
  return { config: { ...config, istio }, mesh: meshFor(config, istio) }
}

/** The control plane of the config, with what its other sections need of it. */
export function meshFor({ cluster, observability, experiments }: Config, istio: IstioConfig): DesiredMesh {
  const stats = proxyStats({ dashboards: Boolean(observability?.dashboards), experiments: experiments !== undefined })
  return desiredMesh(istio, [...gatewayValues(cluster), ...stats])
}

/** istioctl of the pinned version, from the cache or downloaded. */
export async function installIstioctl({
  config,
  host,
  recorder,
}: RunContext): Promise<NonNullable<StageContext['istioctl']>> {
  const { version, mirror, sha256 } = config.istio!
  const found = await obtain(istioctlTool, version, {
    mirror,
    ...(sha256 === undefined ? {} : { sha256 }),
    limitMs: config.limits.download,
    cache: config.cache,
    signal: host.signal,
    log: host,
  })
  host.info(`istioctl ${found.version}: ${sourceLabel[found.from]}, ${found.path}`)
  host.onIstioctl(found)
  const istioctl = { path: found.path, version: found.version, cacheHit: found.cacheHit }
  recorder.record({ istioctl })
  return istioctl
}

/**
 * Reports what the mesh will request from the nodes. @throws ConfigError when it does not fit, unless the config changes
 * the requests.
 */
async function reportCost(context: StageContext): Promise<void> {
  const { config, host, cluster, mesh, stages, recorder } = context
  try {
    const injected = stages.includes('inject') ? (config.workloads ?? 'all') : []
    const cost = await meshCost(cluster, config.namespace, mesh, injected)
    recorder.record({ cost })
    const { text, fits, worthIt, why } = cost
    const isEstimate = config.istio !== undefined && changesRequests(config.istio)
    if (!fits && !isEstimate) throw new ConfigError(`istio: ${text}`)
    if (fits) host.info(text)
    else warn(context, [`istio: ${text}; \`istio.set\` or \`istio.overlays\` may lower the requests`])
    if (worthIt === 'doubtful') host.info(`a mesh may not be worth it here: ${why}`)
  } catch (error) {
    if (!isForbidden(error)) throw error
    host.info(`cannot compute the cost of the mesh: ${error.message}`)
  }
}
