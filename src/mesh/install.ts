// The control plane: installed when it is absent or not as asked, left alone when it is.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Cluster } from '../cluster/client.ts'
import { apiVersionOf, systemNamespace, type ConfigMap, type KubeObject, type Workload } from '../cluster/objects.ts'
import { managedBy } from '../policies/compile/index.ts'
import { ConfigError } from '../config/error.ts'
import type { IstioConfig } from '../config/schema.ts'

const recordName = 'mesh-canary-install'

/** What an installation was asked for, as recorded in the cluster beside it. */
export type Wanted = { version: string; fingerprint: string; args: string[] }
export type Installed = { version: string; action: 'installed' | 'changed' | 'unchanged' }

/** @throws ConfigError when an overlay file cannot be read. */
export function wanted(istio: IstioConfig): Wanted {
  const overlays = (istio.overlays ?? []).map((file) => ({ file, content: overlay(file) }))
  const args = [
    ...overlays.flatMap(({ file }) => ['-f', file]),
    ...['--set', `profile=${istio.profile}`],
    ...istio.set.flatMap((pair) => ['--set', pair]),
  ]
  const parts = [istio.version, istio.profile, istio.set, overlays.map(({ content }) => content)]
  const fingerprint = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  return { version: istio.version, fingerprint, args }
}

function overlay(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new ConfigError(`istio.overlays: the file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); check the path`)
  }
}

type Live = { version: string; ready: boolean }

/** The control plane's version, read from the image that istiod runs. */
export async function installedVersion(cluster: Cluster): Promise<Live | undefined> {
  const [istiod] = await cluster.list<Workload>('Deployment', systemNamespace, { labelSelector: 'app=istiod' })
  const image = istiod?.spec.template.spec.containers.find(({ name }) => name === 'discovery')?.image
  if (!istiod || !image) return undefined
  const tag = /:([^:/@]+)(@|$)/.exec(image)?.[1] ?? image
  return { version: tag.replace(/-(distroless|debug)$/, ''), ready: (istiod.status?.availableReplicas ?? 0) > 0 }
}

/** True when nothing is to be installed or changed. */
export async function isAsAsked(cluster: Cluster, asked: Wanted): Promise<boolean> {
  const [live, record] = await Promise.all([installedVersion(cluster), cluster.get<ConfigMap>('ConfigMap', systemNamespace, recordName)])
  return live !== undefined && live.ready && live.version === asked.version && record?.data?.['fingerprint'] === asked.fingerprint
}

/** `install` runs `istioctl install` with the arguments and rejects with the cause when it fails. */
export async function ensureMesh(cluster: Cluster, asked: Wanted, install: (args: string[]) => Promise<void>): Promise<Installed> {
  if (await isAsAsked(cluster, asked)) return { version: asked.version, action: 'unchanged' }
  const live = await installedVersion(cluster)
  await install(asked.args)
  await cluster.apply<KubeObject & ConfigMap>({
    apiVersion: apiVersionOf('ConfigMap'),
    kind: 'ConfigMap',
    metadata: { name: recordName, namespace: systemNamespace, labels: managedBy },
    data: { version: asked.version, fingerprint: asked.fingerprint },
  })
  const after = await installedVersion(cluster)
  return { version: after?.version ?? asked.version, action: live ? 'changed' : 'installed' }
}
