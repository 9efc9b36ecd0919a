// The components of the node: their command lines, configuration and health checks.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Built } from './build.ts'
import { containerdConfig } from './containerd.ts'
import { pauseImage } from './images.ts'
import {
  apiServer,
  cgroup,
  containerdSocket,
  here,
  mirrorPath,
  mirrorPort,
  nodeAddress,
  nodeDir,
  nodeName,
  podCidr,
  serviceCidr,
} from './settings.ts'

export interface Component {
  readonly name: string
  readonly argv: readonly string[]
  /** A health check: an http(s) address that answers 200, or a `unix:` or `tcp:` address that accepts a connection. */
  readonly health: string
  /** The component starts only once the API server is healthy. */
  readonly needsApi: boolean
}

const file = (name: string): string => join(nodeDir, name)
const kubeconfigFlag = (name: string): string => `--kubeconfig=${file(`${name}.kubeconfig`)}`

export function components({ bin, releases }: Built): Component[] {
  const program = (name: string, ...flags: string[]): string[] => [join(bin, name), ...flags]
  return [
    { name: 'etcd', argv: program('etcd', ...etcdFlags), health: 'http://127.0.0.1:2379/readyz', needsApi: false },
    {
      name: 'containerd',
      argv: program('containerd', '--config', file('containerd.toml')),
      health: `unix:${containerdSocket}`,
      needsApi: false,
    },
    {
      name: 'mirror',
      argv: [process.execPath, join(here, 'mirror.ts'), file('mirror-access.log'), `${mirrorPath}=${releases}`],
      health: `tcp:127.0.0.1:${mirrorPort}`,
      needsApi: false,
    },
    {
      name: 'kube-apiserver',
      argv: program('kube-apiserver', ...apiServerFlags),
      health: `${apiServer}/readyz`,
      needsApi: false,
    },
    {
      name: 'kube-controller-manager',
      argv: program('kube-controller-manager', ...controllerFlags),
      health: 'https://127.0.0.1:10257/healthz',
      needsApi: true,
    },
    {
      name: 'kube-scheduler',
      argv: program('kube-scheduler', kubeconfigFlag('kube-scheduler'), '--leader-elect=false'),
      health: 'https://127.0.0.1:10259/healthz',
      needsApi: true,
    },
    {
      name: 'kubelet',
      argv: program('kubelet', ...kubeletFlags),
      health: 'http://127.0.0.1:10248/healthz',
      needsApi: true,
    },
    {
      name: 'kube-proxy',
      argv: program('kube-proxy', ...proxyFlags),
      health: 'http://127.0.0.1:10256/livez',
      needsApi: true,
    },
    {
      name: 'coredns',
      argv: program('coredns', '-conf', file('Corefile')),
      health: `tcp:${nodeAddress}:53`,
      needsApi: true,
    },
  ]
}

const etcdFlags = [
  `--data-dir=${file('etcd')}`,
  '--unsafe-no-fsync',
  '--listen-client-urls=http://127.0.0.1:2379',
  '--advertise-client-urls=http://127.0.0.1:2379',
  '--listen-peer-urls=http://127.0.0.1:2380',
  '--log-level=warn',
]

const apiServerFlags = [
  '--etcd-servers=http://127.0.0.1:2379',
  `--advertise-address=${nodeAddress}`,
  `--service-cluster-ip-range=${serviceCidr}`,
  '--authorization-mode=Node,RBAC',
  `--token-auth-file=${file('tokens.csv')}`,
  `--client-ca-file=${file('ca.crt')}`,
  `--tls-cert-file=${file('apiserver.crt')}`,
  `--tls-private-key-file=${file('apiserver.key')}`,
  `--kubelet-client-certificate=${file('apiserver.crt')}`,
  `--kubelet-client-key=${file('apiserver.key')}`,
  // An API server that it forwards requests to, such as the metrics-server, believes whom it names.
  `--proxy-client-cert-file=${file('apiserver.crt')}`,
  `--proxy-client-key-file=${file('apiserver.key')}`,
  `--requestheader-client-ca-file=${file('ca.crt')}`,
  '--requestheader-allowed-names=kube-apiserver',
  '--requestheader-username-headers=X-Remote-User',
  '--requestheader-group-headers=X-Remote-Group',
  '--requestheader-extra-headers-prefix=X-Remote-Extra-',
  '--kubelet-preferred-address-types=InternalIP', // with names, exec and logs would need a DNS entry for the node
  '--endpoint-reconciler-type=master-count',
  '--allow-privileged',
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-key-file=${file('service-accounts.pub')}`,
  `--service-account-signing-key-file=${file('service-accounts.key')}`,
]

const controllerFlags = [
  kubeconfigFlag('kube-controller-manager'),
  '--leader-elect=false',
  '--use-service-account-credentials',
  '--kube-api-qps=500', // the default of 20 makes its forty service accounts take five seconds
  '--kube-api-burst=1000',
  `--root-ca-file=${file('ca.crt')}`,
  `--service-account-private-key-file=${file('service-accounts.key')}`,
  `--cluster-signing-cert-file=${file('ca.crt')}`,
  `--cluster-signing-key-file=${file('ca.key')}`,
]

const kubeletFlags = [
  `--config=${file('kubelet.json')}`,
  kubeconfigFlag('kubelet'),
  `--root-dir=${file('kubelet')}`,
  `--hostname-override=${nodeName}`,
  `--node-ip=${nodeAddress}`,
]

const proxyFlags = [
  kubeconfigFlag('kube-proxy'),
  '--proxy-mode=nftables',
  `--hostname-override=${nodeName}`,
  `--cluster-cidr=${podCidr}`,
  '--conntrack-max-per-core=0', // this limit applies to the whole machine, so the node must not change it
]

export async function writeConfigs(): Promise<void> {
  await writeFile(
    file('containerd.toml'),
    containerdConfig({
      root: file('containerd'),
      state: '/run/containerd',
      socket: containerdSocket,
      more: containerdForKubernetes,
    }),
  )
  await writeFile(file('kubelet.json'), JSON.stringify(kubeletConfig, null, 2))
  await mkdir(file('cni'), { recursive: true })
  await writeFile(file('cni/mesh-canary.conflist'), JSON.stringify(cniConfig, null, 2))
  await writeFile(file('Corefile'), corefile)
  await writeFile(file('resolv.conf'), `nameserver ${nodeAddress}\n`)
}

/**
 * Works without the right to lower an OOM score and without AppArmor, which many containers and virtual machines lack.
 */
const containerdForKubernetes = `
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${pauseImage}'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '${file('cni')}'
`

/**
 * Point to point instead of a bridge, so that all traffic between pods passes the node, which translates service
 * addresses.
 */
const cniConfig = {
  cniVersion: '1.0.0',
  name: 'mesh-canary',
  plugins: [
    {
      type: 'ptp',
      ipam: {
        type: 'host-local',
        dataDir: '/run/cni',
        ranges: [[{ subnet: podCidr }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
}

const kubeletConfig = {
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  authentication: { x509: { clientCAFile: file('ca.crt') } },
  cgroupDriver: 'cgroupfs',
  cgroupRoot: cgroup,
  clusterDNS: [nodeAddress],
  clusterDomain: 'cluster.local',
  containerRuntimeEndpoint: `unix://${containerdSocket}`,
  enforceNodeAllocatable: [],
  evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  failCgroupV1: false,
  failSwapOn: false,
  featureGates: { KubeletInUserNamespace: true },
  imageGCHighThresholdPercent: 100, // no registry could provide a removed image again
  imageGCLowThresholdPercent: 99,
  localStorageCapacityIsolation: false,
  maxPods: 200,
  podLogsDir: file('pods'),
  resolvConf: file('resolv.conf'),
  volumePluginDir: file('volume-plugins'),
}

const corefile = `.:53 {
  bind ${nodeAddress}
  errors
  cache 5
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${file('coredns.kubeconfig')} mesh-canary
  }
}
`
