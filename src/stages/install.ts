// The stage install: istioctl at hand, the control plane as asked.
import { ApiError, type Cluster } from '../cluster/client.ts'
import { systemNamespace, type Pod } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Config, IstioConfig } from '../config/schema.ts'
import { choose } from '../istioctl/choose.ts'
import { istioctlTool } from '../istioctl/release.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { run } from '../tools/run.ts'
import { supportWarnings } from '../istioctl/support.ts'
import { meshCost } from '../mesh/cost.ts'
import { imagesOf, missingImages } from '../mesh/images.ts'
import { planTagMove, type TagMove } from '../mesh/inject.ts'
import { ensureMesh, isAsRequested, type DesiredMesh } from '../mesh/install.ts'
import { checkUpgradeSteps } from '../mesh/upgrade-steps.ts'
import { precheck } from '../mesh/precheck.ts'
import { listControlPlanes, tagsOf } from '../mesh/revisions.ts'
import { isReady } from '../mesh/sidecar.ts'
import { messageOf } from '../runtime/errors.ts'
import { obtain, sourceLabel } from '../tools/obtain.ts'
import { causeOf } from '../verify/cause.ts'
import { moveTag } from './inject.ts'
import { istioctl, warn, type StageOutcome, type StageContext } from './context.ts'

/** As much of a run as there is without a cluster too. */
type Begun = Pick<StageContext, 'config' | 'host' | 'report'>

/** The config with an exact version of Istio in the place of what was asked for. `installed` answers the one that the mesh has. */
export async function pinnedConfig(
  begun: Begun,
  installed: () => Promise<string | undefined> = () => Promise.resolve(undefined),
): Promise<Config> {
  const { config, host } = begun
  const { version: spec, mirror, checkLatest } = config.istio!
  const { version, because, warning } = await choose(
    { spec, mirror, checkLatest, installed, limitMs: config.limits.download },
    { token: config.token, signal: host.signal },
  )
  if (because !== undefined) host.info(because)
  if (warning !== undefined) warn(begun, [warning])
  return { ...config, istio: { ...config.istio!, version } }
}

/** From here on the run has the exact version; `want` says what is wanted of it. */
export async function pinVersion(running: StageContext, want: (istio: IstioConfig) => DesiredMesh): Promise<void> {
  const { cluster, asked } = running
  // Whoever may not look there is not kept from choosing.
  const installed = () =>
    listControlPlanes(cluster).then(
      (all) => all.find(({ revision }) => revision === asked!.revision)?.version,
      unlessForbidden,
    )
  const config = await pinnedConfig(running, installed)
  Object.assign(running, { config, asked: want(config.istio!) })
}

function unlessForbidden(error: unknown): undefined {
  if (!(error instanceof ApiError && error.status === 403)) throw error
}

/** Istio out of support, or on a Kubernetes that it is not tested with. */
export async function checkSupport(running: StageContext): Promise<void> {
  warn(running, supportWarnings(running.config.istio!.version, await running.cluster.version()))
}

export async function getIstioctl({ config, host, report }: Begun): Promise<void> {
  const { version, mirror, sha256 } = config.istio!
  const found = await obtain(istioctlTool, version, {
    mirror,
    ...(sha256 === undefined ? {} : { sha256 }),
    limitMs: config.limits.download,
    cache: config.cache,
    signal: host.signal,
    tell: host,
  })
  host.info(`istioctl ${found.version}: ${sourceLabel[found.from]}, ${found.path}`)
  host.istioctl(found)
  report.istioctl = { path: found.path, version: found.version, cacheHit: found.cacheHit }
}

/** What the mesh will ask of the nodes: told, and an error when it would not fit. Needs to read nodes and all pods; without that right, it says so. */
export async function reportCost({ config, host, cluster, asked, report }: StageContext): Promise<void> {
  try {
    report.cost = await meshCost(cluster, config.namespace, asked)
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 403)) throw error
    return host.info(`what the mesh will cost is not known: ${error.message}`)
  }
  const { text, fits, worthIt, why } = report.cost
  if (!fits) throw new ConfigError(`istio: ${text}`)
  host.info(text)
  if (worthIt === 'doubtful') host.info(`a mesh may not be worth it here: ${why}`)
}

export async function install(running: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, asked, report } = running
  const named = `Istio ${asked!.version}${config.istio!.revision === undefined ? '' : ` (revision ${asked!.revision})`}`
  const all = await listControlPlanes(cluster)
  const asAsked = await isAsRequested(cluster, asked!)
  if (!asAsked) {
    warn(running, checkUpgradeSteps(all, asked!))
    await prechecked(running)
    await images(running)
  }
  const beside = all.filter(({ revision }) => revision !== asked!.revision)
  if (beside.length > 0)
    host.info(
      `beside it there ${beside.length === 1 ? 'is' : 'are'} ${beside.map(({ revision, version }) => `${revision} (${version})`).join(', ')}${config.istio!.removeOld ? '' : ', kept'}`,
    )
  const tag = await tagToMove(running)
  if (config.dryRun) {
    host.info(asAsked ? `${named}: already as asked` : `${named} would be installed or changed`)
    if (tag) host.info(`tag ${tag.name}: would be made to point to ${tag.to}`)
    return { changed: !asAsked || tag !== undefined }
  }
  const mesh = await ensureMesh(cluster, asked!, (args) =>
    istioctl(running, [
      'install',
      '-y',
      '--readiness-timeout',
      `${Math.ceil(config.istio!.timeout / 1000)}s`,
      ...args,
    ]).catch(withCauses(cluster)),
  )
  report.mesh = mesh
  host.info(`${named}: ${mesh.action === 'unchanged' ? 'already as asked, nothing changed' : mesh.action}`)
  if (tag) await moveTag(running, tag)
  return { changed: tag !== undefined || mesh.action !== 'unchanged' }
}

/** None where sidecars are to be given: there the tag moves together with the namespace, so that both can go back. */
async function tagToMove({ config, cluster, stages }: StageContext): Promise<TagMove | undefined> {
  return stages.includes('inject') || config.istio!.tag === undefined
    ? undefined
    : planTagMove(config.istio, await tagsOf(cluster))
}

/** Who only looks needs no right to install: then its lack is told, and no fault. */
async function prechecked(running: StageContext): Promise<void> {
  const { config, host, connection, report } = running
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl x precheck', 'limits.istioctl')
  const found = await precheck({
    istioctl: report.istioctl!.path,
    cliArgs: connection.cliArgs,
    suppress: config.istio!.suppress ?? [],
    signal,
  }).catch((error: unknown) => {
    if (!config.dryRun || !(error instanceof Error) || !/forbidden/i.test(error.message)) throw error
    return { errors: [], warnings: [error.message] }
  })
  const rights = found.errors.filter((error) => config.dryRun && error.startsWith('IST0141'))
  const errors = found.errors.filter((error) => !rights.includes(error))
  warn(running, [...found.warnings, ...rights])
  if (errors.length > 0)
    throw new ConfigError(
      `istioctl x precheck finds errors, so nothing is installed; mend them, or name their codes in istio.suppress:\n${errors.join('\n')}`,
    )
}

/** Tells them; those that are never pulled must be on the nodes. */
async function images(running: StageContext): Promise<void> {
  const { config, host, cluster, asked, report } = running
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl manifest generate', 'limits.istioctl')
  const { code, stdout, stderr } = await run(report.istioctl!.path, ['manifest', 'generate', ...asked!.args], signal)
  if (code !== 0)
    throw new ConfigError(
      `istio: istioctl cannot render what is asked for: ${stderr.trim().split('\n').slice(-3).join(' ')}`,
    )
  const all = imagesOf(stdout)
  report.images = all.map(({ name }) => name)
  host.info(`images: ${report.images.join(', ')}`)
  const { lacks, unknown } = await missingImages(cluster, all).catch((error: unknown) => {
    if (!(error instanceof ApiError && error.status === 403)) throw error
    return { lacks: [], unknown: [`whether the nodes hold Istio's images is not known: ${error.message}`] }
  })
  unknown.forEach(host.info)
  if (lacks.length > 0)
    throw new ConfigError(
      `istio.imagePullPolicy: the images are never pulled, and not all are there: ${lacks.join('; ')}; load them onto the nodes first, or let them be pulled`,
    )
}

/** istioctl says that it waited in vain; why is written on the pods. */
function withCauses(cluster: Cluster) {
  return async (error: unknown): Promise<never> => {
    const pods = (await cluster.list<Pod>('Pod', systemNamespace).catch(() => [])).filter((pod) => !isReady(pod))
    const causes = await Promise.all(pods.map(async (pod) => `\n${pod.metadata.name}: ${await causeOf(cluster, pod)}`))
    throw new Error(`${messageOf(error)}${causes.join('')}`)
  }
}
