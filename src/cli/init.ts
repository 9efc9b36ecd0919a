// `init`: a starter config from what is in the namespace, read with the rights to look, and nothing written there.
import { writeFileSync } from 'node:fs'
import { ApiError, client, emptyWhenUnread, type Cluster } from '../cluster/client.ts'
import { connection } from '../cluster/connect.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Config } from '../config/schema.ts'
import { tempDir } from '../runtime/environment.ts'
import { selectWorkloads } from '../mesh/inject.ts'
import { readLive } from '../policies/live.ts'
import { preflight } from '../stages/preflight.ts'
import { listControlPlanes } from '../mesh/revisions.ts'
import { expectsSidecar } from '../mesh/sidecar.ts'
import { terminal } from './terminal.ts'
import { configTemplate, type DiscoveredCluster } from './config-template.ts'
import { createTempDir } from './temp-dir.ts'

/** Answers the exit code. `-` for the file prints the text. @throws ConfigError when the file is there already and `force` is not given. */
export async function writeConfig(config: Config, file: string, force: boolean): Promise<number> {
  createTempDir()
  const cluster = client(connection(config.kubeconfig, config.context, tempDir()), config.limits)
  await preflight(cluster, config, ['verify'])
  const seen = await look(cluster, config.namespace).catch((error: unknown) => {
    if (error instanceof ApiError) return error
    throw error
  })
  if (seen instanceof ApiError) return (terminal(process.stderr, process.env).error(seen.message), 1)
  const { text, told } = configTemplate(seen)
  if (file === '-') return (void process.stdout.write(text), 0)
  try {
    writeFileSync(file, text, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(
      code === 'EEXIST'
        ? `init: ${file} is there already; give another name, or --force to write over it`
        : `init: ${file} cannot be written (${code}); check the path`,
    )
  }
  const { info } = terminal(process.stdout, process.env)
  info(`${file}: ${told}`)
  info(`next: mesh-canary plan --config ${file}; for completion in your editor, mesh-canary schema > mesh.schema.json`)
  return 0
}

async function look(cluster: Cluster, namespace: string): Promise<DiscoveredCluster> {
  const [workloads, services, live, peerAuthentications, all] = await Promise.all([
    selectWorkloads(cluster, namespace, 'all'),
    cluster.list<Service>('Service', namespace),
    readLive(cluster, namespace),
    cluster.list<KubeObject>('PeerAuthentication', namespace).catch(emptyWhenUnread),
    listControlPlanes(cluster).catch(() => []),
  ])
  // Of several the newest: it is what the namespace is to move to, if it has not.
  const istio = all.at(-1)
  return {
    namespace,
    workloads: workloads.filter(wantsSidecar),
    services,
    live,
    peerAuthentications,
    ...(istio ? { istio } : {}),
  }
}

/** As its pods will. */
function wantsSidecar({ metadata, spec: { template } }: Workload): boolean {
  return expectsSidecar({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template.metadata, name: metadata.name },
    spec: template.spec,
  })
}
