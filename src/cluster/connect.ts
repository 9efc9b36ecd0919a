// A kubeconfig, or what the environment offers → a connection to one API server.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { ConfigError } from '../config/error.ts'
import { shownPath, shownValue } from '../config/shown.ts'
import { secretsOfPlugins } from './plugin-secrets.ts'

/** No kubeconfig is given, and none is in the usual places. */
export class NoKubeconfig extends ConfigError {}

/** How to reach the API server: for our own requests, and as arguments for istioctl. */
export type Connection = {
  config: KubeConfig
  server: string
  context: string
  cliArgs: string[]
  temporaryFile?: string
}

/** @throws ConfigError when the kubeconfig cannot be used; no request is made. */
export function connection(kubeconfig: string | undefined, context: string | undefined, tempDir: string): Connection {
  const config = new KubeConfig()
  const content = kubeconfig === undefined ? undefined : contentOf(kubeconfig)
  loadInto(config, kubeconfig, content)
  const name = chooseContext(config, context)
  config.setCurrentContext(name)
  const cluster = config.getCurrentCluster()
  if (!cluster)
    throw new ConfigError(
      `kubeconfig: the context ${name} names a cluster that the kubeconfig does not hold; ` +
        'add the cluster or choose another context',
    )
  if (config.getCurrentUser() === null)
    throw new ConfigError(
      `kubeconfig: the context ${name} names a user that the kubeconfig does not hold; ` +
        'add the user or choose another context',
    )

  // The library refuses plain http otherwise; kubectl does not, and `kubectl proxy` speaks nothing else.
  if (cluster.server.startsWith('http:'))
    config.clusters = config.clusters.map((each) =>
      each.name === cluster.name ? { ...each, skipTLSVerify: true } : each,
    )

  const file = content === undefined ? kubeconfig : writeTemporary(content, tempDir)
  const cliArgs = [
    ...(file === undefined ? [] : ['--kubeconfig', file]),
    ...(name === 'inClusterContext' ? [] : ['--context', name]),
  ]
  return {
    config,
    server: cluster.server,
    context: name,
    cliArgs,
    ...(content !== undefined && file !== undefined ? { temporaryFile: file } : {}),
  }
}

/** The content, when it is given as such or in base64, as secrets often hold it; undefined for a path. */
function contentOf(kubeconfig: string): string | undefined {
  if (existsSync(kubeconfig)) return undefined
  const decoded = /^[A-Za-z0-9+/=\s]+$/.test(kubeconfig) ? Buffer.from(kubeconfig, 'base64').toString() : ''
  if (/\bclusters\b/.test(decoded)) return decoded
  return /[\n{]|: /.test(kubeconfig) ? kubeconfig : undefined
}

function loadInto(config: KubeConfig, kubeconfig: string | undefined, content: string | undefined): void {
  const path = kubeconfig ?? process.env['KUBECONFIG']
  // KUBECONFIG may be a list, of which some may be missing.
  const files =
    content === undefined && path ? (kubeconfig === undefined ? path.split(delimiter).filter(Boolean) : [path]) : []
  if (files.length > 0 && !files.some(existsSync))
    throw new ConfigError(
      `kubeconfig: ${fileName(path!)} does not exist; give the path of a kubeconfig, or its content`,
    )
  const what = content === undefined ? `the kubeconfig ${path ?? '~/.kube/config'}` : 'the content given as kubeconfig'
  try {
    if (content !== undefined) config.loadFromString(content)
    else if (kubeconfig !== undefined) config.loadFromFile(kubeconfig)
    else config.loadFromDefault()
  } catch (error) {
    // A parser's message may quote the file, and with it a secret: only the line is safe to show.
    const line = (error as { mark?: { line?: number } } | undefined)?.mark?.line
    throw new ConfigError(
      `kubeconfig: ${what} does not parse${line === undefined ? '' : ` (line ${line + 1})`}; it must be a ` +
        `kubeconfig in YAML or JSON, as \`kubectl config view --raw --minify\` prints it`,
    )
  }
  const standIn =
    !path &&
    config.getCurrentContext() === 'loaded-context' &&
    config.getCurrentCluster()?.server === 'http://localhost:8080'
  if (standIn)
    throw new NoKubeconfig(
      'kubeconfig: there is none: give the input `kubeconfig`, set KUBECONFIG, or create ~/.kube/config',
    )
  if (config.contexts.length === 0)
    throw new ConfigError(
      `kubeconfig: ${what} holds no context; it must be a whole kubeconfig, as \`kubectl config view --raw ` +
        `--minify\` prints it`,
    )
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

/** The leaves of a kubeconfig that must never be logged. */
export function secretsOf(config: KubeConfig): string[] {
  return config.users
    .flatMap((user) => [
      user.token,
      user.password,
      user.keyData,
      user.keyData && Buffer.from(user.keyData, 'base64').toString(),
      ...secretsOfPlugins(user),
    ])
    .flatMap((secret) => secret?.split('\n') ?? [])
    .filter((line) => line.length >= 8 && !line.startsWith('-----'))
}
