// The stage install: installs or changes the control plane according to the config.
import type { Cluster } from '../cluster/client.ts'
import { isForbidden } from '../cluster/api-error.ts'
import { systemNamespace, type KubeObject, type Pod } from '../cluster/objects.ts'
import { isReady } from '../cluster/pods.ts'
import { ConfigError } from '../config/error.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { imagesOf, missingImages } from '../mesh/images.ts'
import { planTagMove, type TagMove } from '../mesh/inject.ts'
import { installMesh, type DesiredMesh, type Installed } from '../mesh/install.ts'
import { defaultRevision } from '../mesh/labels.ts'
import { checkUpgradeSteps } from '../mesh/upgrade-steps.ts'
import { precheck } from '../mesh/precheck.ts'
import { listControlPlanes, tagsOf, type ControlPlane } from '../mesh/revisions.ts'
import { messageOf } from '../runtime/errors.ts'
import { causeOf } from '../verify/cause.ts'
import { planInstall, showChanges, usedAsItIs, type InstallPlan, type MeshChange } from './control-plane.ts'
import { moveTag } from './inject.ts'
import { runIstioctl, warn, type StageOutcome, type StageContext } from './context.ts'

export async function install(context: StageContext): Promise<StageOutcome> {
  const { config, host, cluster, mesh: desired, recorder } = context
  const all = await listControlPlanes(cluster).catch(refuseUnread)
  const plan = await planInstall(context, all)
  if (plan.action === 'change') await checkChange(context, all, plan)
  nameOthers(context, all)
  const tag = await tagToMove(context)
  const changed = plan.action === 'change' || tag !== undefined
  if (config.dryRun) {
    host.info(plan.action === 'foreign' ? usedAsItIs(plan.foreign) : `${titleOf(context)}${outlook[plan.action]}`)
    if (tag) host.info(`tag ${tag.name}: would point to ${tag.to}`)
    return { changed }
  }
  const mesh = plan.action === 'change' ? await changeMesh(context, plan) : unchangedMesh(desired!, plan)
  recorder.record({ mesh })
  if (plan.action === 'foreign') host.info(usedAsItIs(plan.foreign))
  else
    host.info(
      `${titleOf(context)}: ${mesh.action === 'unchanged' ? 'already up to date, nothing changed' : mesh.action}`,
    )
  if (tag) await moveTag(context, tag)
  return { changed }
}

function refuseUnread(error: unknown): never {
  if (!isForbidden(error)) throw error
  throw new ConfigError(
    `stages: this account cannot see whether the control plane is installed: ${error.message}; run the stage install with ` +
      'an account that may (deploy/rbac/install.yaml), and name the other stages in the `stages` of this run',
  )
}

const outlook = { change: ' would be installed or changed', unchanged: ': already up to date' }

function titleOf({ config, mesh }: StageContext): string {
  return `Istio ${mesh!.version}${config.istio!.revision === undefined ? '' : ` (revision ${mesh!.revision})`}`
}

/** @throws ConfigError if this run may not change the control plane so. */
async function checkChange(context: StageContext, all: readonly ControlPlane[], plan: MeshChange): Promise<void> {
  showChanges(context, plan)
  if (plan.refusal !== undefined) throw new ConfigError(plan.refusal)
  warn(context, checkUpgradeSteps(all, context.mesh!))
  await runPrecheck(context)
  await checkImages(context, plan.manifests)
}

function nameOthers({ config, host, mesh }: StageContext, all: readonly ControlPlane[]): void {
  const others = all.filter(({ revision }) => revision !== mesh!.revision)
  if (others.length === 0) return
  const names = others.map(({ revision, version }) => `${revision} (${version})`).join(', ')
  host.info(`other control planes in the cluster: ${names}${config.istio!.removeOld ? '' : '; they stay'}`)
}

function changeMesh(context: StageContext, { args: all }: MeshChange): Promise<Installed> {
  const { config, cluster, mesh } = context
  const timeout = `${Math.ceil(config.istio!.timeout / 1000)}s`
  return installMesh(cluster, { ...mesh!, args: all }, (args) =>
    runIstioctl(context, ['install', '-y', '--readiness-timeout', timeout, ...args]).catch(withCauses(cluster)),
  )
}

function unchangedMesh({ version, revision }: DesiredMesh, plan: Exclude<InstallPlan, MeshChange>): Installed {
  const live = plan.action === 'foreign' ? plan.foreign.plane.version : version
  return { version: live, ...(revision === defaultRevision ? {} : { revision }), action: 'unchanged' }
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
async function checkImages({ host, cluster, recorder }: StageContext, manifests: readonly KubeObject[]): Promise<void> {
  const all = imagesOf(manifests)
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
