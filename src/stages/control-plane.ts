// What the stage install would do to the control plane, and whether it may: the stages plan and install share it.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cluster } from '../cluster/client.ts'
import { systemNamespace, titleOf, type ConfigMap, type KubeObject } from '../cluster/objects.ts'
import { diffLines } from '../cluster/leaves.ts'
import { ConfigError } from '../config/error.ts'
import { lackingSettings } from '../mesh/asked-settings.ts'
import {
  controlPlaneChanges,
  type ControlPlaneChange,
  type ControlPlaneChanges,
} from '../mesh/control-plane-changes.ts'
import { addedNames, providersToKeep, meshConfigName } from '../mesh/extension-providers.ts'
import { foreignControlPlanes, type Foreign } from '../mesh/installer.ts'
import { isInstalledAsDesired } from '../mesh/install.ts'
import { readMeshConfig } from '../mesh/mesh-config.ts'
import { objectsIn } from '../mesh/manifests.ts'
import {
  listControlPlanes,
  ofRevision,
  readRecord,
  remoteInjectors,
  type ControlPlane,
  type InstallRecord,
} from '../mesh/revisions.ts'
import type { PlanRow } from '../report/report.ts'
import { listNames } from '../runtime/errors.ts'
import { withTimeout } from '../runtime/timeout.ts'
import { runProgram } from '../tools/run.ts'
import { stringify } from '../yaml/stringify.ts'
import { warn, type StageContext } from './context.ts'

/** What an installation does. `refusal`: why it may not. */
export type MeshChange = ControlPlaneChanges & {
  action: 'change'
  manifests: KubeObject[]
  /** For istioctl. */
  args: string[]
  refusal?: string
}
/**
 * `unchanged`: nothing to install. `foreign`: the control plane of somebody else satisfies the config and stays as it
 * is.
 */
export type InstallPlan = { action: 'unchanged' } | { action: 'foreign'; foreign: Foreign } | MeshChange

/** Reads the cluster, and changes nothing. */
export async function planInstall(context: StageContext, all: readonly ControlPlane[]): Promise<InstallPlan> {
  const { cluster, config, mesh } = context
  const { version, revision } = mesh!
  const live = ofRevision(all, revision)
  const record = await readRecord(cluster, revision)
  if (isInstalledAsDesired(mesh!, live, record)) return { action: 'unchanged' }
  const foreign = await foreignControlPlanes(cluster, all)
  const own = foreign.find(({ plane }) => plane === live)
  const args = [...mesh!.args, ...(await providerArgs(context, live))]
  const manifests = inNamespaceOf(live, await manifestsOf(context, args))
  const found = await controlPlaneChanges(cluster, manifests, revision)
  const faults = own
    ? await shortcomings(context, own, manifests, found)
    : [...(record ? [] : await injectorFaults(cluster, all)), ...othersFaults(foreign, found.changes, record)]
  // An installation cannot replace what is not in its namespace.
  const takesOver = config.istio!.takeOver && (!own || own.plane.metadata.namespace === systemNamespace)
  if (own && faults.length === 0 && !takesOver) return { action: 'foreign', foreign: own }
  const refusal = takesOver ? undefined : refusalOf(version, own, faults)
  return { action: 'change', ...found, manifests, args, ...(refusal === undefined ? {} : { refusal }) }
}

/** Keeps the extension providers that the stage observe added: istioctl replaces the whole list. */
async function providerArgs(context: StageContext, live: ControlPlane | undefined): Promise<string[]> {
  if (live?.metadata.namespace === undefined) return []
  const name = meshConfigName(live.revision)
  const map = await readMeshConfig(context.cluster, { namespace: live.metadata.namespace, name })
  if (!map || addedNames(map).length === 0) return []
  const rendered = await manifestsOf(context, context.mesh!.args)
  const isMeshConfig = (object: KubeObject): object is ConfigMap =>
    object.kind === 'ConfigMap' && object.metadata.name === name
  const extensionProviders = providersToKeep(map, rendered.find(isMeshConfig))
  if (!extensionProviders) return []
  const file = join(context.host.tempDir, 'mesh-canary-providers.yaml')
  const overlay = {
    apiVersion: 'install.istio.io/v1alpha1',
    kind: 'IstioOperator',
    spec: { meshConfig: { extensionProviders } },
  }
  await writeFile(file, stringify(overlay))
  return ['-f', file]
}

/** istioctl names its own namespace; the control plane of an add-on may be in another one. */
function inNamespaceOf(live: ControlPlane | undefined, objects: KubeObject[]): KubeObject[] {
  const namespace = live?.metadata.namespace ?? systemNamespace
  const isSystem = (object: KubeObject) => object.metadata.namespace === systemNamespace
  return objects.map((object) =>
    isSystem(object) ? { ...object, metadata: { ...object.metadata, namespace } } : object,
  )
}

/** @throws ConfigError with istioctl's reason. */
async function manifestsOf({ config, host, istioctl }: StageContext, args: readonly string[]): Promise<KubeObject[]> {
  const signal = withTimeout(host.signal, config.limits.istioctl, 'istioctl manifest generate', 'limits.istioctl')
  const { code, stdout, stderr } = await runProgram(istioctl!.path, ['manifest', 'generate', ...args], signal)
  if (code === 0) return objectsIn(stdout)
  throw new ConfigError(
    `istio: istioctl cannot render the manifests of this config: ${stderr.trim().split('\n').slice(-3).join(' ')}`,
  )
}

/** In what a control plane of somebody else falls short of the config. */
async function shortcomings(
  context: StageContext,
  { plane }: Foreign,
  manifests: readonly KubeObject[],
  found: ControlPlaneChanges,
): Promise<string[]> {
  const { version, plainArgs } = context.mesh!
  const plain = inNamespaceOf(plane, await manifestsOf(context, plainArgs))
  return [
    ...(isVersion(plane.version, version) ? [] : [`it runs ${plane.version}, and the config asks for ${version}`]),
    ...(plane.ready ? [] : ['its istiod is not available']),
    ...lackingSettings(manifests, plain, found),
  ]
}

/** Vendors add a suffix to the version of their build; a prerelease is another version. */
function isVersion(live: string, asked: string): boolean {
  return live === asked || (live.startsWith(`${asked}-`) && !/-(alpha|beta|rc)\b/.test(live))
}

/** What others installed or set, and an installation of ours would overwrite. */
function othersFaults(
  foreign: readonly Foreign[],
  changes: readonly ControlPlaneChange[],
  record: InstallRecord | undefined,
): string[] {
  const elsewhere = foreign
    .filter(({ plane }) => plane.metadata.namespace !== systemNamespace)
    .map(
      ({ plane, installer }) =>
        `the control plane ${plane.revision} (${plane.version}) in ${plane.metadata.namespace}, which belongs to ` +
        `${installer}, shares Istio's CRDs with the new one (set \`istio.revision\` to ${plane.revision} to use it)`,
    )
  const known = [record?.takenOverFrom, ...(record?.takenOverManagers?.split(' ') ?? [])]
  const overwritten = changes.flatMap(({ object, action, owners, leaves }) => {
    const others = owners.filter((owner) => !known.includes(owner))
    // The charts of Helm and of istioctl differ in labels, and those change nothing.
    const paths = leaves.map(({ path }) => path).filter((path) => !/^(labels|annotations)\b/.test(path))
    if (others.length === 0 || (action === 'change' && paths.length === 0)) return []
    const what = action === 'delete' ? 'would be removed' : `${listNames(paths)} would change`
    return [`${titleOf(object)}, which belongs to ${others.join(' and ')}: ${what}`]
  })
  return [...elsewhere, ...overwritten]
}

/** Control planes without a Deployment here: those of managed offerings, and of another cluster. */
async function injectorFaults(cluster: Cluster, all: readonly ControlPlane[]): Promise<string[]> {
  const injectors = await remoteInjectors(cluster)
  return injectors
    .filter(({ revision }) => ofRevision(all, revision) === undefined)
    .map(
      ({ name, revision }) =>
        `a control plane outside this cluster injects the sidecars of the revision ${revision} ` +
        `(MutatingWebhookConfiguration ${name}); to use it, leave \`istio\` out and label the namespace yourself`,
    )
}

const mostFaults = 8

function refusalOf(version: string, own: Foreign | undefined, faults: readonly string[]): string | undefined {
  if (faults.length === 0) return undefined
  const more = faults.length > mostFaults ? [`and ${faults.length - mostFaults} more`] : []
  const what = own
    ? `the control plane ${own.plane.revision} was installed by ${own.installer}, and it is not as this config asks`
    : `installing ${version} would overwrite what others installed or set`
  const isElsewhere = own !== undefined && own.plane.metadata.namespace !== systemNamespace
  const remedy = isElsewhere ? '' : ', or set `istio.takeOver: true` to let this run overwrite it'
  return (
    `istio: ${what}: ${[...faults.slice(0, mostFaults), ...more].join('; ')}; ` +
    `nothing was changed. Change the control plane with the tool that installed it, or change this config to match it${remedy}`
  )
}

/** Longer values, such as the template of the sidecars, say little to people. */
const longestValue = 120

function shortened(value: string): string {
  const [first = '', ...rest] = value.split('\n')
  const head = first.length > longestValue ? `${first.slice(0, longestValue)}…` : first
  return rest.length === 0 ? head : `${head} … (${rest.length + 1} lines)`
}

/** The changes as rows of the report, each with its lines. */
export function rowsOf(changes: readonly ControlPlaneChange[]): PlanRow[] {
  return changes.map(({ action, object: { kind, metadata }, leaves }) => ({
    action,
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    diff: diffLines(leaves).map(shortened),
  }))
}

/** Shows what an installation would change, and records it. */
export function showChanges({ host, recorder }: StageContext, { changes, unseen }: ControlPlaneChanges): void {
  const rows = rowsOf(changes)
  recorder.record({ meshPlan: rows })
  const created = changes.filter(({ action }) => action === 'create')
  if (created.length > 0) host.info(`to create: ${listNames(created.map(({ object }) => titleOf(object)))}`)
  for (const { action, kind, name, diff } of rows.filter((row) => row.action !== 'create')) {
    host.info(`${kind} ${name}: ${action}`)
    diff.forEach((line) => host.info(`    ${line}`))
  }
  const [first] = unseen
  if (first)
    host.info(`cannot see what would change in ${listNames(unseen.map(({ object }) => titleOf(object)))}: ${first.why}`)
}

/** The stage plan: what the stage install would do. */
export async function planControlPlane(context: StageContext): Promise<boolean> {
  const { cluster, host, mesh, istioctl } = context
  if (!mesh || !istioctl) return false
  const plan = await planInstall(context, await listControlPlanes(cluster))
  if (plan.action === 'unchanged') host.info(`Istio ${mesh.version}: already up to date`)
  if (plan.action === 'foreign') host.info(usedAsItIs(plan.foreign))
  if (plan.action !== 'change') return false
  host.info(`Istio ${mesh.version} would be installed or changed`)
  showChanges(context, plan)
  if (plan.refusal !== undefined) warn(context, [`the stage install would refuse this: ${plan.refusal}`])
  return true
}

export function usedAsItIs({ plane: { revision, version }, installer }: Foreign): string {
  return `the control plane ${revision} (${version}) was installed by ${installer}, and is used as it is`
}
