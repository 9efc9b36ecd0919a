// A kubeconfig, or what the environment offers → a connection to one API server.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { ConfigError } from '../config/error.ts'

/** How to reach the API server: for our own requests, and as arguments for istioctl. */
export type Connection = { config: KubeConfig; server: string; context: string; cliArgs: string[]; temporaryFile?: string }

/** @throws ConfigError when the kubeconfig cannot be used; no request is made. */
export function connection(kubeconfig: string | undefined, context: string | undefined, tempDir: string): Connection {
  const config = new KubeConfig()
  const isContent = kubeconfig !== undefined && /[\n{:]/.test(kubeconfig) && !existsSync(kubeconfig)
  load(config, kubeconfig, isContent)
  const name = choose(config, context)
  config.setCurrentContext(name)
  const cluster = config.getCurrentCluster()
  if (!cluster) throw new ConfigError(`kubeconfig: the context ${name} names a cluster that the kubeconfig does not hold; add the cluster or choose another context`)
  if (config.getCurrentUser() === null) throw new ConfigError(`kubeconfig: the context ${name} names a user that the kubeconfig does not hold; add the user or choose another context`)

  const file = isContent ? keep(kubeconfig, tempDir) : kubeconfig
  const cliArgs = [...(file === undefined ? [] : ['--kubeconfig', file]), ...(name === 'inClusterContext' ? [] : ['--context', name])]
  return { config, server: cluster.server, context: name, cliArgs, ...(isContent && file !== undefined ? { temporaryFile: file } : {}) }
}

function load(config: KubeConfig, kubeconfig: string | undefined, isContent: boolean): void {
  const what = isContent ? 'the content given as kubeconfig' : `the kubeconfig ${kubeconfig ?? process.env['KUBECONFIG'] ?? '~/.kube/config'}`
  if (kubeconfig !== undefined && !isContent && !existsSync(kubeconfig))
    throw new ConfigError(`kubeconfig: the file ${kubeconfig} does not exist; give the path of a kubeconfig, or its content`)
  try {
    if (kubeconfig === undefined) config.loadFromDefault()
    else if (isContent) config.loadFromString(kubeconfig)
    else config.loadFromFile(kubeconfig)
  } catch (error) {
    // A parser's message may quote the file, and with it a secret: only its first line's reason is safe to show.
    const reason = error instanceof Error && 'reason' in error ? `: ${String(error.reason)}` : ''
    throw new ConfigError(`kubeconfig: ${what} does not parse${reason}; it must be a kubeconfig in YAML or JSON, as \`kubectl config view --raw --minify\` prints it`)
  }
  const standIn = kubeconfig === undefined && config.getCurrentContext() === 'loaded-context' && config.getCurrentCluster()?.server === 'http://localhost:8080'
  if (standIn) throw new ConfigError('kubeconfig: there is none: give the input `kubeconfig`, set KUBECONFIG, or create ~/.kube/config')
  if (config.contexts.length === 0) throw new ConfigError(`kubeconfig: ${what} holds no context; it must be a whole kubeconfig, as \`kubectl config view --raw --minify\` prints it`)
}

function choose(config: KubeConfig, wanted: string | undefined): string {
  const names = config.contexts.map(({ name }) => name)
  const name = wanted ?? config.getCurrentContext()
  if (names.includes(name)) return name
  const problem = name ? `the context ${JSON.stringify(name)} does not exist` : 'no context is given and the kubeconfig has no current-context'
  throw new ConfigError(`context: ${problem}; the kubeconfig has ${names.join(', ')}`)
}

function keep(content: string, tempDir: string): string {
  const file = join(tempDir, `mesh-canary-kubeconfig-${process.pid}`)
  writeFileSync(file, content, { mode: 0o600 })
  return file
}

/** The leaves of a kubeconfig that must never be logged. */
export function secretsOf(config: KubeConfig): string[] {
  return config.users
    .flatMap((user) => [user.token, user.password, user.keyData, user.keyData && Buffer.from(user.keyData, 'base64').toString()])
    .flatMap((secret) => secret?.split('\n') ?? [])
    .filter((line) => line.length >= 8 && !line.startsWith('-----'))
}
