// A kubeconfig, or what the environment offers → a connection to one API server.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { KubeConfig, type Cluster as ClusterEntry, type User } from '@kubernetes/client-node'
import { ConfigError } from '../config/error.ts'
import { proxyFor } from '../runtime/proxy.ts'
import { systemCertificates } from '../runtime/certificates.ts'
import { homeKubeconfig, read, readFiles, type Kubeconfig } from './kubeconfig.ts'
import { shownPath, shownValue } from '../config/shown.ts'
import { secretsOfPlugins } from './plugin-secrets.ts'

/** No kubeconfig is given, and none is in the usual places. */
export class NoKubeconfig extends ConfigError {}

/** How to reach the API server: for our own requests, and as arguments for istioctl. */
export type Connection = {
  config: KubeConfig
  server: string
  context: string
  /** The file for other programs, unless they find it themselves. */
  kubeconfig?: string
  cliArgs: string[]
  temporaryFile?: string
  /** The config with nothing remembered, read again: another program may have written new credentials into it. */
  renew: () => KubeConfig
}

/** `content`: what istioctl must get as a file of its own; `file`: the kubeconfig for istioctl, unless it finds it itself. */
type Loaded = { config: KubeConfig; content?: string; file?: string }

/** @throws ConfigError when the kubeconfig cannot be used; no request is made. */
export function connection(kubeconfig: string | undefined, context: string | undefined, tempDir: string): Connection {
  const { config, cluster, content, ...given } = load(kubeconfig, context)
  const { server } = cluster
  const name = config.getCurrentContext()
  const temporaryFile = content === undefined ? undefined : writeTemporary(content, tempDir)
  const file = temporaryFile ?? given.file
  const cliArgs = [
    ...(file === undefined ? [] : ['--kubeconfig', file]),
    ...(name === inClusterContext ? [] : ['--context', name]),
  ]
  const renew = () => renewed(config, server, () => load(kubeconfig, name))
  return {
    config,
    server,
    context: name,
    cliArgs,
    ...(file === undefined ? {} : { kubeconfig: file }),
    ...(temporaryFile ? { temporaryFile } : {}),
    renew,
  }
}

/** @throws ConfigError like `connection` */
function load(kubeconfig: string | undefined, context: string | undefined): Loaded & { cluster: ClusterEntry } {
  const loaded = kubeconfig === undefined ? fromEnvironment() : fromInput(kubeconfig)
  const { config } = loaded
  const name = chooseContext(config, context)
  config.setCurrentContext(name)
  const cluster = config.getCurrentCluster()
  if (!cluster)
    throw new ConfigError(
      `kubeconfig: the context ${name} names a cluster that the kubeconfig does not hold; ` +
        'add the cluster or choose another context',
    )
  const user = config.getCurrentUser()
  if (user === null)
    throw new ConfigError(
      `kubeconfig: the context ${name} names a user that the kubeconfig does not hold; ` +
        'add the user or choose another context',
    )
  requireFiles(cluster, user)
  config.clusters = config.clusters.map((each) => (each.name === cluster.name ? reachable(each) : each))
  return { ...loaded, cluster }
}

/** The library remembers what a credential program printed until that says it expires, even if the server refuses it. */
function renewed(before: KubeConfig, server: string, loadAgain: () => ReturnType<typeof load>): KubeConfig {
  try {
    const { config, cluster } = loadAgain()
    if (cluster.server === server) return config
  } catch {
    // It is gone, or half written: what was read before may still do.
  }
  const { clusters, users, contexts, currentContext } = before
  const config = new KubeConfig()
  config.loadFromOptions({ clusters, users, contexts, currentContext })
  return config
}

/** As the library calls it. */
const inClusterContext = 'inClusterContext'

function fromInput(kubeconfig: string): Loaded {
  const content = contentOf(kubeconfig)
  const source = 'the content given as kubeconfig'
  if (content !== undefined) return { config: configOf(read(content, source, process.cwd())), content }
  if (existsSync(kubeconfig)) return { config: configOf(readFiles([kubeconfig])), file: kubeconfig }
  const list = listOf(kubeconfig)
  if (!list.some(existsSync))
    throw new ConfigError(
      `kubeconfig: ${fileName(kubeconfig)} does not exist; give the path of a kubeconfig, or its content`,
    )
  // istioctl takes one file only.
  const merged = readFiles(list)
  return { config: configOf(merged), content: JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...merged }) }
}

/** `KUBECONFIG`, else ~/.kube/config, else the service account of the pod. */
function fromEnvironment(): Loaded {
  const listed = process.env['KUBECONFIG']
  const files = (listed ? listOf(listed) : [homeKubeconfig()]).filter(existsSync)
  if (files.length > 0) return { config: configOf(readFiles(files)) }
  const inCluster = serviceAccount()
  if (inCluster) return { config: inCluster }
  if (listed)
    throw new ConfigError(
      `kubeconfig: ${fileName(listed)} does not exist; give the path of a kubeconfig, or its content`,
    )
  throw new NoKubeconfig(process.env['KUBERNETES_SERVICE_HOST'] ? noToken : noKubeconfig)
}

const noKubeconfig = 'kubeconfig: there is none: give the input `kubeconfig`, set KUBECONFIG, or create ~/.kube/config'
const noToken =
  'kubeconfig: there is none, and this pod has no token of a service account: give the pod a service account ' +
  '(`automountServiceAccountToken: true`), or give the input `kubeconfig`'

function serviceAccount(): KubeConfig | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env
  if (!host || !port || !existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')) return undefined
  const config = new KubeConfig()
  config.loadFromCluster()
  return config
}

function listOf(paths: string): string[] {
  return paths.split(delimiter).filter((path) => path.trim() !== '')
}

/** The content, when it is given as such or in base64, as secrets often hold it; undefined for a path. */
function contentOf(kubeconfig: string): string | undefined {
  if (existsSync(kubeconfig)) return undefined
  const decoded = /^[A-Za-z0-9+/=\s]+$/.test(kubeconfig) ? Buffer.from(kubeconfig, 'base64').toString() : ''
  if (/\bclusters\b/.test(decoded)) return decoded
  return /[\n{]|: /.test(kubeconfig) ? kubeconfig : undefined
}

function configOf(kubeconfig: Kubeconfig): KubeConfig {
  if (kubeconfig.contexts.length === 0)
    throw new ConfigError(
      `kubeconfig: ${kubeconfig.source} holds no context; it must be a whole kubeconfig, as \`kubectl config view --raw ` +
        `--minify\` prints it`,
    )
  const config = new KubeConfig()
  // An entry that nobody uses may be incomplete.
  config.loadFromString(JSON.stringify(withAnonymous(kubeconfig)), { onInvalidEntry: 'filter' })
  return config
}

/** A context without a user sends no credentials, as for `kubectl proxy`. The library requires a user. */
function withAnonymous(kubeconfig: Kubeconfig): Kubeconfig {
  const contexts = kubeconfig.contexts.map((entry) => {
    const context = entry['context'] as { user?: string } | undefined
    return context === undefined || context.user ? entry : { ...entry, context: { ...context, user: anonymous } }
  })
  return { ...kubeconfig, contexts, users: [...kubeconfig.users, { name: anonymous, user: {} }] }
}

const anonymous = 'mesh-canary-anonymous'

/** @throws ConfigError for a file that the kubeconfig names, and that is not there. */
function requireFiles(cluster: ClusterEntry, user: User): void {
  const tokenFile = (user.authProvider as { config?: { tokenFile?: string } } | null | undefined)?.config?.tokenFile
  const files: [entry: string, key: string, file: string | undefined][] = [
    [`cluster ${cluster.name}`, 'certificate-authority', cluster.caFile],
    [`user ${user.name}`, 'client-certificate', user.certFile],
    [`user ${user.name}`, 'client-key', user.keyFile],
    [`user ${user.name}`, 'tokenFile', tokenFile],
  ]
  for (const [entry, key, file] of files)
    if (file && !existsSync(file))
      throw new ConfigError(
        `kubeconfig: the ${entry} names the file ${shownPath(file)} as its ${key}, and there is none; create it in an earlier ` +
          'step, or give a kubeconfig that holds it (`kubectl config view --raw --minify --flatten`)',
      )
}

/** What kubectl does and the library does not: the proxy of the environment, the CAs of the system, plain http. */
function reachable(cluster: ClusterEntry): ClusterEntry {
  if (!URL.canParse(cluster.server))
    throw new ConfigError(`kubeconfig: the server of the cluster ${cluster.name} is no address; expected https://…`)
  const url = new URL(cluster.server)
  const proxyUrl = cluster.proxyUrl || proxyFor(url, process.env)
  if (proxyUrl !== undefined && !URL.canParse(proxyUrl))
    throw new ConfigError(`kubeconfig: the proxy of the cluster ${cluster.name} is no address; expected http://…`)
  const certificates = cluster.caData || cluster.caFile || url.protocol === 'http:' ? undefined : systemCertificates()
  return {
    ...cluster,
    ...(proxyUrl === undefined ? {} : { proxyUrl }),
    ...(certificates === undefined ? {} : { caData: Buffer.from(certificates).toString('base64') }),
    skipTLSVerify: cluster.skipTLSVerify || url.protocol === 'http:',
  }
}

/** What looks like a path is one; anything else may be a secret that was meant as content. */
function fileName(path: string): string {
  return `the file ${shownPath(path)}`
}

function chooseContext(config: KubeConfig, requested: string | undefined): string {
  const names = config.contexts.map(({ name }) => name)
  const name = requested ?? config.getCurrentContext()
  if (names.includes(name)) return name
  const problem = name
    ? `the context ${shownValue(name)} does not exist`
    : 'no context is given and the kubeconfig has no current-context'
  throw new ConfigError(`context: ${problem}; the kubeconfig has ${names.join(', ')}`)
}

function writeTemporary(content: string, tempDir: string): string {
  const file = join(mkdtempSync(join(tempDir, 'mesh-canary-')), 'kubeconfig')
  writeFileSync(file, content, { mode: 0o600 })
  return file
}

/** The leaves of a kubeconfig that must never be logged, and the passwords of proxies. */
export function secretsOf(config: KubeConfig): string[] {
  const ofProxies = config.clusters.flatMap(({ proxyUrl }) =>
    proxyUrl && URL.canParse(proxyUrl) ? [new URL(proxyUrl).password] : [],
  )
  return config.users
    .flatMap((user) => [
      user.token,
      user.password,
      user.keyData,
      user.keyData && Buffer.from(user.keyData, 'base64').toString(),
      ...secretsOfPlugins(user),
    ])
    .concat(ofProxies)
    .flatMap((secret) => secret?.split('\n') ?? [])
    .filter((line) => line.length >= 8 && !line.startsWith('-----'))
}
