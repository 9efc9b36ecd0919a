// Installs the control plane if it is absent or differs from the config.
import { createHash } from 'node:crypto'
import type { Cluster } from '../cluster/client.ts'
import { managedBy } from '../cluster/labels.ts'
import { apiVersionOf, systemNamespace, type ConfigMap, type KubeObject, type Meta } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { IstioConfig } from '../config/schema.ts'
import { istioDefaults } from '../config/schema/istio.ts'
import { defaultRevision } from './labels.ts'
import { readOverlays, valuesIn, type Overlay } from './overlays.ts'
import { installerMarkedOn, otherInstaller } from './installer.ts'
import {
  listControlPlanes,
  ofRevision,
  readRecord,
  recordName,
  type ControlPlane,
  type InstallRecord,
} from './revisions.ts'

/**
 * The control plane of the config. `fingerprint`: a hash of all its settings, which the cluster stores. `args`: for
 * `istioctl install` and `istioctl manifest generate`. `plainArgs`: the same for a config without settings.
 * `network`: the label of istio-system in a mesh of several networks.
 */
export type DesiredMesh = {
  version: string
  revision: string
  profile: string
  fingerprint: string
  args: string[]
  plainArgs: string[]
  network?: string
}
export type Installed = { version: string; revision?: string; action: 'installed' | 'changed' | 'unchanged' }

/** Looks up a value in the config's `set` and `overlays` by its dotted key. */
type ValueLookup = (key: string) => string | undefined

/** Counters of retries and of ejected endpoints, which sidecars publish only if asked. */
const statsKey = 'meshConfig.defaultConfig.proxyStatsMatcher'
const suffixesForDashboards = ['upstream_rq_retry', 'outlier_detection.ejections_active']
const suffixesForExperiments = [
  'upstream_rq_retry',
  'upstream_rq_retry_success',
  'upstream_rq_timeout',
  'upstream_rq_per_try_timeout',
  'upstream_rq_pending_overflow',
  'outlier_detection.ejections_enforced_total',
]

/** What these parts of a config need beyond Istio's defaults. Sidecars follow when their pods restart. */
export function proxyStats(needs: { dashboards: boolean; experiments: boolean }): string[] {
  const suffixes = new Set([
    ...(needs.dashboards ? suffixesForDashboards : []),
    ...(needs.experiments ? suffixesForExperiments : []),
  ])
  return [...suffixes].map((suffix, i) => `${statsKey}.inclusionSuffixes[${i}]=${suffix}`)
}

/**
 * `more`: further `key=value` pairs; the config's own `set` overrides them, and its own choice of the sidecars' metrics
 * replaces ours.
 * @throws ConfigError if an overlay cannot be read, or sets something unsupported.
 */
export function desiredMesh(istio: IstioConfig, more: readonly string[] = []): DesiredMesh {
  const overlays = readOverlays(istio.overlays ?? [])
  const lookup = valuesIn(istio.set, overlays)
  const choosesStats = lookup(statsKey) !== undefined || istio.set.some((pair) => pair.startsWith(`${statsKey}.`))
  const extra = more.filter((pair) => !(choosesStats && pair.startsWith(statsKey)))
  const profile = profileOf(istio, lookup)
  refuseAmbient(profile, lookup)
  const revision = istio.revision ?? defaultRevision
  refuseOtherRevision(revision, lookup)
  const values = [...valuesOf(istio, lookup), ...extra, ...istio.set]
  const network = lookup('values.global.network')
  const plain = [`profile=${istioDefaults.profile}`, `values.global.hub=${istioDefaults.hub}`, ...extra]
  return {
    version: istio.version,
    revision,
    profile,
    fingerprint: fingerprintOf(istio, revision, values, overlays),
    args: [...overlays.flatMap(({ file }) => ['-f', file]), ...istioctlArgs(values, revision)],
    plainArgs: istioctlArgs(plain, revision),
    ...(network ? { network } : {}),
  }
}

function istioctlArgs(values: readonly string[], revision: string): string[] {
  return [
    ...values.flatMap((pair) => ['--set', pair]),
    ...(revision === defaultRevision ? [] : ['--revision', revision]),
  ]
}

function profileOf({ profile, set }: IstioConfig, lookup: ValueLookup): string {
  if (set.some((pair) => pair.startsWith('profile='))) return lookup('profile')!
  return profile ?? lookup('profile') ?? istioDefaults.profile
}

/** The config's keys as istioctl's `--set` values. */
function valuesOf(
  { profile, hub: ownHub, imagePullPolicy, pullSecrets = [] }: IstioConfig,
  lookup: ValueLookup,
): string[] {
  const isHubSet = (lookup('hub') ?? lookup('values.global.hub')) !== undefined
  const hub = ownHub ?? (isHubSet ? undefined : istioDefaults.hub)
  return [
    ...(profile === undefined ? [] : [`profile=${profile}`]),
    // `hub` would not override the `values.global.hub` of an overlay.
    ...(hub === undefined ? [] : [`values.global.hub=${hub}`]),
    ...(imagePullPolicy === undefined ? [] : [`values.global.imagePullPolicy=${imagePullPolicy}`]),
    ...pullSecrets.map((name, i) => `values.global.imagePullSecrets[${i}]=${name}`),
  ]
}

function fingerprintOf({ version }: IstioConfig, revision: string, values: string[], overlays: Overlay[]): string {
  const parts = [version, revision, values, overlays.map(({ content }) => content)]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

function refuseOtherRevision(revision: string, lookup: ValueLookup): void {
  const other = lookup('revision') ?? lookup('values.revision')
  if (other === undefined || other === '' || other === revision) return
  throw new ConfigError(
    `istio.set or istio.overlays: they set the revision ${other}; set it as \`istio.revision\`, because mesh-canary ` +
      'labels the namespace and finds the control plane by that key',
  )
}

function refuseAmbient(profile: string, lookup: ValueLookup): void {
  const setting = ambientSetting(profile, lookup)
  if (setting === undefined) return
  throw new ConfigError(
    `istio.profile: ${setting} asks for ambient mode, where pods have no sidecars, and mesh-canary works only with ` +
      'sidecars: ambient mode is not supported yet; choose a profile with sidecars, such as default, demo or minimal',
  )
}

function ambientSetting(profile: string, lookup: ValueLookup): string | undefined {
  if (profile.includes('ambient')) return `the profile ${profile}`
  const valuesProfile = lookup('values.profile')
  if (valuesProfile?.includes('ambient')) return `values.profile=${valuesProfile}`
  return lookup('components.ztunnel.enabled') === 'true' ? 'components.ztunnel.enabled=true' : undefined
}

/** True when mesh-canary installed the control plane with these settings. */
export function isInstalledAsDesired(
  { version, fingerprint }: DesiredMesh,
  live: ControlPlane | undefined,
  record: InstallRecord | undefined,
): boolean {
  if (live === undefined || otherInstaller(live, record) !== undefined) return false
  return live.ready && live.version === version && record?.fingerprint === fingerprint
}

/**
 * `install` runs `istioctl install` with the arguments, and rejects with the cause when it fails. The cluster records
 * first that the control plane is ours, so that a run that dies half-way leaves nobody else's control plane.
 */
export async function installMesh(
  cluster: Cluster,
  desired: DesiredMesh,
  install: (args: string[]) => Promise<void>,
): Promise<Installed> {
  const find = async () => ofRevision(await listControlPlanes(cluster), desired.revision)
  const [before, previous] = await Promise.all([find(), readRecord(cluster, desired.revision)])
  const isTakeover = before !== undefined && otherInstaller(before, previous) !== undefined
  const origin = isTakeover ? originOf(before.metadata) : pickOrigin(previous)
  const record = (more: InstallRecord) => writeRecord(cluster, desired.revision, { ...more, ...origin })
  await createSystemNamespace(cluster, desired)
  await record(uidOf(before))
  await install(desired.args)
  const now = await find()
  await record({ version: desired.version, fingerprint: desired.fingerprint, ...uidOf(now) })
  const named = desired.revision === defaultRevision ? {} : { revision: desired.revision }
  return { version: now?.version ?? desired.version, ...named, action: before ? 'changed' : 'installed' }
}

/** Whom a takeover takes the control plane from. */
function originOf(metadata: Meta): InstallRecord {
  const from = installerMarkedOn(metadata)
  const managers = (metadata.managedFields ?? []).flatMap(({ manager }) => manager ?? [])
  return {
    ...(from === undefined ? {} : { takenOverFrom: from }),
    takenOverManagers: [...new Set(managers)].join(' '),
  }
}

function pickOrigin({ takenOverFrom, takenOverManagers }: InstallRecord = {}): InstallRecord {
  return {
    ...(takenOverFrom === undefined ? {} : { takenOverFrom }),
    ...(takenOverManagers === undefined ? {} : { takenOverManagers }),
  }
}

function uidOf(plane: ControlPlane | undefined): Pick<InstallRecord, 'uid'> {
  return plane?.metadata.uid === undefined ? {} : { uid: plane.metadata.uid }
}

function writeRecord(cluster: Cluster, revision: string, data: InstallRecord): Promise<KubeObject> {
  return cluster.apply<KubeObject & ConfigMap>({
    apiVersion: apiVersionOf('ConfigMap'),
    kind: 'ConfigMap',
    metadata: { name: recordName(revision), namespace: systemNamespace, labels: managedBy },
    data,
  })
}

/** As istioctl creates it, but before the record. */
async function createSystemNamespace(cluster: Cluster, { network }: DesiredMesh): Promise<void> {
  if (await cluster.get<KubeObject>('Namespace', undefined, systemNamespace)) return
  const labels = network === undefined ? {} : { 'topology.istio.io/network': network }
  await cluster.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: systemNamespace, labels } })
}
