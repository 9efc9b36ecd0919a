// Names of Kubernetes objects and kind clusters, workloads, and versions of the tools.
import { parseEach } from './lists.ts'
import { parsedValue } from './parsed-value.ts'
import { publicValue } from './public-value.ts'

export const dnsName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** What a Kubernetes name is made of, for error messages. */
export const dnsNameForm = 'lower-case letters, digits and dashes'

export const objectName = parsedValue(
  `a Kubernetes name: ${dnsNameForm}`,
  { ...publicValue, type: 'string', pattern: dnsName.source },
  (raw) => (typeof raw === 'string' && dnsName.test(raw) ? raw : undefined),
)

const clusterNamePattern = '^[a-z0-9][a-z0-9.-]{0,49}$'

/** kind names the containers of a cluster after it, so a cluster's name is short. */
export const clusterName = parsedValue(
  'a name of up to 50 lower-case letters, digits, dots and dashes',
  { ...publicValue, type: 'string', pattern: clusterNamePattern },
  (raw) => (typeof raw === 'string' && new RegExp(clusterNamePattern).test(raw) ? raw : undefined),
)

/** An exact version of a tool, without the `v` that its tags have. */
export function exactVersion(tool: string, example: string) {
  return parsedValue(
    `an exact version of ${tool} such as ${example}`,
    { ...publicValue, type: 'string', pattern: '^v?\\d+\\.\\d+\\.\\d+' },
    (raw) =>
      typeof raw === 'string' && /^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(raw.trim())
        ? raw.trim().replace(/^v/, '')
        : undefined,
  )
}

/** YAML reads 1.36 as a number, and 1.30 as 1.3. The two-digit minor version tells the second case. */
export const kubernetesVersion = parsedValue(
  'a Kubernetes version such as 1.36 or 1.36.4 (quote it in YAML)',
  { ...publicValue, type: ['string', 'number'], pattern: '^v?1\\.\\d{2}(\\.\\d+)?$' },
  (raw) => {
    const version = typeof raw === 'string' || typeof raw === 'number' ? String(raw).trim().replace(/^v/, '') : ''
    return /^1\.\d{2}(\.\d+)?$/.test(version) ? version : undefined
  },
)

export type WorkloadKind = 'Deployment' | 'StatefulSet' | 'DaemonSet'
export type WorkloadRef = { kind: WorkloadKind; name: string }

const kinds = new Map<string, WorkloadKind>([
  ['deploy', 'Deployment'],
  ['deployment', 'Deployment'],
  ['deployments', 'Deployment'],
  ['sts', 'StatefulSet'],
  ['statefulset', 'StatefulSet'],
  ['statefulsets', 'StatefulSet'],
  ['ds', 'DaemonSet'],
  ['daemonset', 'DaemonSet'],
  ['daemonsets', 'DaemonSet'],
])

function parseWorkload(item: unknown): WorkloadRef | undefined {
  const [type, name, ...rest] = typeof item === 'string' ? item.split('/') : []
  const kind = kinds.get(type?.toLowerCase() ?? '')
  return kind && name && dnsName.test(name) && rest.length === 0 ? { kind, name } : undefined
}

export const workload = parsedValue(
  'a workload such as deploy/backend, sts/cache or ds/agent',
  { ...publicValue, type: 'string' },
  parseWorkload,
)

/** `all`, or workloads in the order in which they are restarted. */
export const workloads = parsedValue<WorkloadRef[] | 'all'>(
  'all, or a list such as deploy/mysql, sts/cache, ds/agent',
  { ...publicValue, type: ['array', 'string'] },
  (raw) => (raw === 'all' ? 'all' : parseEach(raw, parseWorkload)),
)
