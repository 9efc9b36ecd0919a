// `init`: writes a config template from the objects in a namespace. It only reads from the cluster.
import { writeFileSync } from 'node:fs'
import { createClient, type Cluster } from '../cluster/client.ts'
import { ApiError, isNotFound } from '../cluster/api-error.ts'
import { connection } from '../cluster/connect.ts'
import type { KubeObject, Service, Workload } from '../cluster/objects.ts'
import { ConfigError } from '../config/error.ts'
import type { Config } from '../config/schema.ts'
import { selectWorkloads } from '../mesh/inject.ts'
import { listControlPlanes } from '../mesh/revisions.ts'
import { expectsSidecar } from '../mesh/sidecar.ts'
import { readLive } from '../policies/live-routes.ts'
import { tempDir } from '../runtime/environment.ts'
import { messageOf } from '../runtime/errors.ts'
import { preflight } from '../stages/preflight.ts'
import { configTemplate } from './config-template.ts'
import type { DiscoveredCluster } from './service-candidates.ts'
import { createTempDir } from './temp-dir.ts'
import { terminal } from './terminal.ts'

/**
 * Returns the exit code. The file `-` prints the text.
 * @throws ConfigError when the file cannot be written, or exists and `force` is not given
 */
export async function writeConfig(config: Config, file: string, force: boolean): Promise<number> {
  createTempDir()
  const cluster = createClient(connection(config.kubeconfig, config.context, tempDir()), config.limits)
  const discovered = await preflight(cluster, config, ['verify'])
    .then(() => discover(cluster, config.namespace))
    .catch((error: unknown) => {
      if (error instanceof ApiError) return error
      throw error
    })
  if (discovered instanceof ApiError) {
    terminal(process.stderr, process.env).error(discovered.message)
    return 1
  }
  const { text, summary } = configTemplate(discovered)
  if (file === '-') process.stdout.write(text)
  else writeTemplate(file, text, summary, force)
  return 0
}

function writeTemplate(file: string, text: string, summary: string, force: boolean): void {
  try {
    writeFileSync(file, text, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError(
      code === 'EEXIST'
        ? `init: ${file} already exists; choose another name, or overwrite it with --force`
        : `init: ${file} cannot be written (${code}); check the path`,
    )
  }
  const { info } = terminal(process.stdout, process.env)
  info(`${file}: ${summary}`)
  info(`next: mesh-canary plan --config ${file}; for completion in your editor, mesh-canary schema > mesh.schema.json`)
}

async function discover(cluster: Cluster, namespace: string): Promise<DiscoveredCluster> {
  const [workloads, services, live, peerAuthentications, controlPlanes] = await Promise.all([
    selectWorkloads(cluster, namespace, 'all'),
    cluster.list<Service>('Service', namespace),
    readLive(cluster, namespace),
    cluster.list<KubeObject>('PeerAuthentication', namespace).catch(noneOrWhy),
    listControlPlanes(cluster).catch(noneOrWhy),
  ])
  // The newest of several, because the namespace moves to that one if it has not yet.
  const istio = typeof controlPlanes === 'string' ? controlPlanes : controlPlanes.at(-1)
  return {
    namespace,
    workloads: workloads.filter(wantsSidecar),
    services,
    live,
    peerAuthentications,
    ...(istio === undefined ? {} : { istio }),
  }
}

/** What the cluster has no kind for is none; what cannot be read may be there. */
function noneOrWhy(problem: unknown): [] | string {
  return isNotFound(problem) ? [] : messageOf(problem)
}

/** True if the workload's pods will expect a sidecar. */
function wantsSidecar({ metadata, spec: { template } }: Workload): boolean {
  return expectsSidecar({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template.metadata, name: metadata.name },
    spec: template.spec,
  })
}
