// The stage install: the control plane as the config asks for it.
import type { Cluster } from '../cluster/client.ts'
import { ApiError } from '../cluster/api-error.ts'
import { systemNamespace, type Pod } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { run } from '../tools/run.ts'
import { imagesOf, missingImages } from '../mesh/images.ts'
import { planTagMove, type TagMove } from '../mesh/inject.ts'
import { ensureMesh, isAsRequested } from '../mesh/install.ts'
import { checkUpgradeSteps } from '../mesh/upgrade-steps.ts'
import { precheck } from '../mesh/precheck.ts'
import { listControlPlanes, tagsOf } from '../mesh/revisions.ts'
import { isReady } from '../mesh/sidecar.ts'
import { messageOf } from '../runtime/errors.ts'
import { causeOf } from '../verify/cause.ts'
import { moveTag } from './inject.ts'
import { runIstioctl, warn, type StageOutcome, type StageContext } from './context.ts'

export async function install(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, mesh: asked, recorder } = context
  const named = `Istio ${asked!.version}${config.istio!.revision === undefined ? '' : ` (revision ${asked!.revision})`}`
  const all = await listControlPlanes(cluster)
  const asAsked = await isAsRequested(cluster, asked!)
  if (!asAsked) {
    warn(context, checkUpgradeSteps(all, asked!))
    await prechecked(context)
    await images(context)
  }
  const beside = all.filter(({ revision }) => revision !== asked!.revision)
  if (beside.length > 0)
    host.info(
      `beside it there ${beside.length === 1 ? 'is' : 'are'} ${beside.map(({ revision, version }) => `${revision} (${version})`).join(', ')}${config.istio!.removeOld ? '' : ', kept'}`,
    )
  const tag = await tagToMove(context)
  if (config.dryRun) {
    host.info(asAsked ? `${named}: already as asked` : `${named} would be installed or changed`)
    if (tag) host.info(`tag ${tag.name}: would be made to point to ${tag.to}`)
    return { changed: !asAsked || tag !== undefined }
  }
  const mesh = await ensureMesh(cluster, asked!, (args) =>
    runIstioctl(context, [
      'install',
      '-y',
      '--readiness-timeout',
      `${Math.ceil(config.istio!.timeout / 1000)}s`,
      ...args,
    ]).catch(withCauses(cluster)),
  )
  recorder.record({ mesh })
  host.info(`${named}: ${mesh.action === 'unchanged' ? 'already as asked, nothing changed' : mesh.action}`)
  if (tag) await moveTag(context, tag)
  return { changed: tag !== undefined || mesh.action !== 'unchanged' }
}

/** None where sidecars are to be given: there the tag moves together with the namespace, so that both can go back. */
async function tagToMove({ config, cluster, stages }: StageContext): Promise<TagMove | undefined> {
  return stages.includes('inject') || config.istio!.tag === undefined
    ? undefined
    : planTagMove(config.istio, await tagsOf(cluster))
}

/** Who only looks needs no right to install: then its lack is told, and no fault. */
async function prechecked(context: StageContext): Promise<void> {
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
      `istioctl x precheck finds errors, so nothing is installed; mend them, or name their codes in istio.suppress:\n${errors.join('\n')}`,
    )
}

/** Tells them; those that are never pulled must be on the nodes. */
async function images(context: StageContext): Promise<void> {
  const { config, host, cluster, mesh: asked, recorder, istioctl } = context
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl manifest generate', 'limits.istioctl')
  const { code, stdout, stderr } = await run(istioctl!.path, ['manifest', 'generate', ...asked!.args], signal)
  if (code !== 0)
    throw new ConfigError(
      `istio: istioctl cannot render what is asked for: ${stderr.trim().split('\n').slice(-3).join(' ')}`,
    )
  const all = imagesOf(stdout)
  const names = all.map(({ name }) => name)
  recorder.record({ images: names })
  host.info(`images: ${names.join(', ')}`)
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
