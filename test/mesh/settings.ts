// The constants of the embedded mesh: versions, addresses and paths.
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const ISTIO_VERSION = '1.31.0'
export const KUBERNETES_VERSION = '1.37.2'

export const cacheDir = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mesh-canary')

/**
 * Begins the names of cgroups and locks. It depends on the cache folder, so meshes of two caches stay separate.
 */
export const resourcePrefix = `mesh-canary-${createHash('sha256').update(cacheDir).digest('hex').slice(0, 8)}`

/**
 * Says which of several nodes on this machine is meant, such as `-test-1`. Each has its own network, so all use the same
 * addresses. The tests name theirs by MESH_NODE; without a name it is the node of `npm start` and `npm run mesh`.
 */
export const nodeSuffix = process.env['MESH_NODE'] ? `-${process.env['MESH_NODE']}` : ''

/** The files of a node: configuration, logs, and the data of etcd and containerd. `down` deletes them. */
export const nodeDirOf = (suffix: string): string => join(cacheDir, `node${suffix}`)

/** The cgroup path of a node, the same in every hierarchy. */
export const cgroupOf = (suffix: string): string => `/${resourcePrefix}-node${suffix}`

export const nodeDir = nodeDirOf(nodeSuffix)
export const cgroup = cgroupOf(nodeSuffix)
export const kubeconfig = join(nodeDir, 'kubeconfig')
export const supervisorSocket = join(nodeDir, 'supervisor.sock')
export const containerdSocket = join(nodeDir, 'containerd.sock')

export const nodeName = 'mesh-canary'
export const nodeAddress = '10.77.0.1'
export const apiServer = `https://${nodeAddress}:6443`
export const serviceCidr = '10.96.0.0/16'
export const podCidr = '10.244.0.0/16'

export const mirrorPort = 8480
export const mirrorPath = '/istio/releases/download'
export const MIRROR_URL = `http://127.0.0.1:${mirrorPort}${mirrorPath}`

export const here = import.meta.dirname
export const istioOverlay = join(here, 'istio.yaml')
