// The control plane: installed when it is absent or not as asked, left alone when it is.
import { createHash } from 'node:crypto'
import { gt, minor, valid } from 'semver'
import type { Cluster } from '../cluster/client.ts'
import { apiVersionOf, systemNamespace, type ConfigMap, type KubeObject } from '../cluster/objects.ts'
import { managedBy } from '../policies/compile/index.ts'
import { ConfigError } from '../config/error.ts'
import type { IstioConfig } from '../config/schema.ts'
import { istioDefaults } from '../config/schema/istio.ts'
import { readOverlays, valuesIn } from './overlays.ts'
import { listControlPlanes, recordName, unnamed, type ControlPlane } from './revisions.ts'

/** What an installation was asked for, as recorded in the cluster beside it. `args` are istioctl's, for `install` and `manifest generate`. */
export type DesiredMesh = { version: string; revision: string; profile: string; fingerprint: string; args: string[] }
export type Installed = { version: string; revision?: string; action: 'installed' | 'changed' | 'unchanged' }

/**
 * `extra`: more `key=value`, over which the user's own `set` wins.
 * @throws ConfigError when an overlay file cannot be read, or asks for what is not supported.
 */
export function desiredMesh(istio: IstioConfig, extra: readonly string[] = []): DesiredMesh {
  const overlays = readOverlays(istio.overlays ?? [])
  const asked = valuesIn(istio.set, overlays)
  const profile = istio.set.some((pair) => pair.startsWith('profile='))
    ? asked('profile')!
    : (istio.profile ?? asked('profile') ?? istioDefaults.profile)
  refuseAmbient(profile, asked)
  const revision = istio.revision ?? unnamed
  const elsewhere = asked('revision') ?? asked('values.revision')
  if (elsewhere !== undefined && elsewhere !== '' && elsewhere !== revision)
    throw new ConfigError(
      `istio.set or istio.overlays: the revision ${elsewhere} is given there; give it as \`istio.revision\`, by which the namespace is labelled and the control plane found again`,
    )
  // Named explicitly, because 1.30.0 to 1.30.3 name a registry of their own.
  const hub = istio.hub ?? ((asked('hub') ?? asked('values.global.hub')) === undefined ? istioDefaults.hub : undefined)
  const values = [
    ...(istio.profile === undefined ? [] : [`profile=${istio.profile}`]),
    // Not `hub`: that loses against the `values.global.hub` of an overlay.
    ...(hub === undefined ? [] : [`values.global.hub=${hub}`]),
    ...(istio.imagePullPolicy === undefined ? [] : [`values.global.imagePullPolicy=${istio.imagePullPolicy}`]),
    ...(istio.pullSecrets ?? []).map((name, i) => `values.global.imagePullSecrets[${i}]=${name}`),
    ...extra,
    ...istio.set,
  ]
  const args = [
    ...overlays.flatMap(({ file }) => ['-f', file]),
    ...values.flatMap((pair) => ['--set', pair]),
    ...(revision === unnamed ? [] : ['--revision', revision]),
  ]
  const parts = [istio.version, revision, values, overlays.map(({ content }) => content)]
  const fingerprint = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  return { version: istio.version, revision, profile, fingerprint, args }
}

function refuseAmbient(profile: string, asked: (key: string) => string | undefined): void {
  const by = profile.includes('ambient')
    ? `the profile ${profile}`
    : asked('values.profile')?.includes('ambient')
      ? `values.profile=${asked('values.profile')}`
      : asked('components.ztunnel.enabled') === 'true'
        ? 'components.ztunnel.enabled=true'
        : undefined
  if (by !== undefined)
    throw new ConfigError(
      `istio.profile: ${by} asks for ambient mode, in which pods have no sidecars, and it is sidecars that are given, verified and counted by here; it is not supported yet. Choose a profile with sidecars, such as default, demo or minimal`,
    )
}

/** True when nothing is to be installed or changed. */
export async function isAsRequested(cluster: Cluster, asked: DesiredMesh): Promise<boolean> {
  const [all, record] = await Promise.all([
    listControlPlanes(cluster),
    cluster.get<ConfigMap>('ConfigMap', systemNamespace, recordName(asked.revision)),
  ])
  const live = all.find(({ revision }) => revision === asked.revision)
  return (
    live !== undefined &&
    live.ready &&
    live.version === asked.version &&
    record?.data?.['fingerprint'] === asked.fingerprint
  )
}

/** What is allowed, and to be known. @throws ConfigError where Istio does not support the step from the versions that are there. */
export function checkSteps(all: readonly ControlPlane[], { version, revision }: DesiredMesh): string[] {
  return all
    .filter((live) => valid(live.version) && valid(version) && live.version !== version)
    .flatMap((live) => {
      const inPlace = live.revision === revision
      const up = minor(version) - minor(live.version)
      const from = `the control plane ${live.revision} is of ${live.version}`
      if (inPlace && up > 1)
        throw new ConfigError(
          `istio.version: ${from}, and in place only the next minor version may follow, not ${version}; go there one minor version at a time, or install it beside the old one with another \`istio.revision\` (two at a time)`,
        )
      if (inPlace && up < 0)
        throw new ConfigError(
          `istio.version: ${from}, and ${version} is older; to go back, point the namespace to a control plane of the old version (\`istio.revision\`), or ask for ${live.version}`,
        )
      if (Math.abs(up) > 2)
        throw new ConfigError(
          `istio.version: ${from}, and beside it only up to two minor versions away may be installed, not ${version}; go there in steps`,
        )
      return inPlace && gt(live.version, version) ? [`${from} and is replaced by the older ${version}`] : []
    })
}

/** `install` runs `istioctl install` with the arguments and rejects with the cause when it fails. */
export async function ensureMesh(
  cluster: Cluster,
  asked: DesiredMesh,
  install: (args: string[]) => Promise<void>,
): Promise<Installed> {
  const named = asked.revision === unnamed ? {} : { revision: asked.revision }
  if (await isAsRequested(cluster, asked)) return { version: asked.version, ...named, action: 'unchanged' }
  const own = async () => (await listControlPlanes(cluster)).find(({ revision }) => revision === asked.revision)
  const live = await own()
  await install(asked.args)
  await cluster.apply<KubeObject & ConfigMap>({
    apiVersion: apiVersionOf('ConfigMap'),
    kind: 'ConfigMap',
    metadata: { name: recordName(asked.revision), namespace: systemNamespace, labels: managedBy },
    data: { version: asked.version, fingerprint: asked.fingerprint },
  })
  return { version: (await own())?.version ?? asked.version, ...named, action: live ? 'changed' : 'installed' }
}
