// The stage install: installs or changes the control plane according to the config.
import type { Cluster } from '../cluster/client.ts'
import { isForbidden } from '../cluster/api-error.ts'
import { systemNamespace, type Pod } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { runProgram } from '../tools/run.ts'
import { imagesOf, missingImages } from '../mesh/images.ts'
import { planTagMove, type TagMove } from '../mesh/inject.ts'
import { ensureMesh, isInstalledAsDesired } from '../mesh/install.ts'
import { checkUpgradeSteps } from '../mesh/upgrade-steps.ts'
import { precheck } from '../mesh/precheck.ts'
import { listControlPlanes, tagsOf } from '../mesh/revisions.ts'
import { isReady } from '../mesh/sidecar.ts'
import { messageOf } from '../runtime/errors.ts'
import { causeOf } from '../verify/cause.ts'
import { moveTag } from './inject.ts'
import { runIstioctl, warn, type StageOutcome, type StageContext } from './context.ts'

export async function install(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, mesh: desired, recorder } = context
  const revision = config.istio!.revision === undefined ? '' : ` (revision ${desired!.revision})`
  const title = `Istio ${desired!.version}${revision}`
  const all = await listControlPlanes(cluster)
  const isUpToDate = await isInstalledAsDesired(cluster, desired!)
  if (!isUpToDate) {
    warn(context, checkUpgradeSteps(all, desired!))
    await runPrecheck(context)
    await checkImages(context)
  }
  const others = all.filter(({ revision }) => revision !== desired!.revision)
  if (others.length > 0) {
    const names = others.map(({ revision, version }) => `${revision} (${version})`).join(', ')
    host.info(`other control planes in the cluster: ${names}${config.istio!.removeOld ? '' : '; they stay'}`)
  }
  const tag = await tagToMove(context)
  if (config.dryRun) {
    host.info(isUpToDate ? `${title}: already up to date` : `${title} would be installed or changed`)
    if (tag) host.info(`tag ${tag.name}: would point to ${tag.to}`)
    return { changed: !isUpToDate || tag !== undefined }
  }
  const mesh = await ensureMesh(cluster, desired!, (args) =>
    runIstioctl(context, [
      'install',
      '-y',
      '--readiness-timeout',
      `${Math.ceil(config.istio!.timeout / 1000)}s`,
      ...args,
    ]).catch(withCauses(cluster)),
  )
  recorder.record({ mesh })
  host.info(`${title}: ${mesh.action === 'unchanged' ? 'already up to date, nothing changed' : mesh.action}`)
  if (tag) await moveTag(context, tag)
  return { changed: tag !== undefined || mesh.action !== 'unchanged' }
}

/** Undefined if the stage inject runs: it moves the tag together with the namespace, so that it can move both back. */
async function tagToMove({ config, cluster, stages }: StageContext): Promise<TagMove | undefined> {
  return stages.includes('inject') || config.istio!.tag === undefined
    ? undefined
    : planTagMove(config.istio, await tagsOf(cluster))
}

/** A dry run needs no right to install, so it only warns about missing rights. */
async function runPrecheck(context: StageContext): Promise<void> {
  const { config, host, connection, istioctl } = context
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl x precheck', 'limits.istioctl')
  const found = await precheck({
    istioctl: istioctl!.path,
    cliArgs: connection.cliArgs,
    suppress: config.istio!.suppress ?? [],
    signal,
  }).catch((error: unknown) => {
    if (!config.dryRun || !(error instanceof Error) || !/forbidden/i.test(error.message)) throw error
    return { errors: [], warnings: [error.message] }
  })
  const rights = found.errors.filter((error) => config.dryRun && error.startsWith('IST0141'))
  const errors = found.errors.filter((error) => !rights.includes(error))
  warn(context, [...found.warnings, ...rights])
  if (errors.length > 0)
    throw new ConfigError(
      'istioctl x precheck finds errors, so nothing is installed; ' +
        `fix them, or list their codes in istio.suppress:\n${errors.join('\n')}`,
    )
}

/** Reports the images, and checks that the nodes hold those that are never pulled. */
async function checkImages(context: StageContext): Promise<void> {
  const { config, host, cluster, mesh, recorder, istioctl } = context
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl manifest generate', 'limits.istioctl')
  const { code, stdout, stderr } = await runProgram(istioctl!.path, ['manifest', 'generate', ...mesh!.args], signal)
  if (code !== 0)
    throw new ConfigError(
      `istio: istioctl cannot render the manifests of this config: ${stderr.trim().split('\n').slice(-3).join(' ')}`,
    )
  const all = imagesOf(stdout)
  const names = all.map(({ name }) => name)
  recorder.record({ images: names })
  host.info(`images: ${names.join(', ')}`)
  const { lacks, unknown } = await missingImages(cluster, all).catch((error: unknown) => {
    if (!isForbidden(error)) throw error
    return { lacks: [], unknown: [`cannot check whether the nodes hold Istio's images: ${error.message}`] }
  })
  unknown.forEach(host.info)
  if (lacks.length > 0)
    throw new ConfigError(
      `istio.imagePullPolicy: the images are never pulled, and not all are there: ${lacks.join('; ')}; ` +
        'load them onto the nodes first, or let them be pulled',
    )
}

/** istioctl only reports a timeout. The pods of the control plane show the cause. */
function withCauses(cluster: Cluster) {
  return async (error: unknown): Promise<never> => {
    const pods = (await cluster.list<Pod>('Pod', systemNamespace).catch(() => [])).filter((pod) => !isReady(pod))
    const causes = await Promise.all(pods.map(async (pod) => `\n${pod.metadata.name}: ${await causeOf(cluster, pod)}`))
    throw new Error(`${messageOf(error)}${causes.join('')}`)
  }
}
