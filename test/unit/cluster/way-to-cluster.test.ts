// The way to an API server, from the kubeconfig to the answer: real servers and proxies on the loopback interface.
import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createClient } from '../../../src/cluster/client.ts'
import { connection } from '../../../src/cluster/connect.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { preflight } from '../../../src/stages/preflight.ts'
import { get } from '../../../src/tools/http.ts'
import { configOf, serve, tempFolder } from '../fixtures.ts'

beforeEach(() => {
  vi.spyOn(systemClock, 'sleep').mockResolvedValue()
  for (const name of ['HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'no_proxy']) vi.stubEnv(name, undefined)
})
afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

function clusterOf(server: string, user: object = { token: 'token-of-ci' }, cluster: object = {}) {
  const kubeconfig = JSON.stringify({
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server, ...cluster } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'ci' } }],
    users: [{ name: 'ci', user }],
  })
  return createClient(connection(kubeconfig, undefined, tempFolder()), { request: 2_000, credentials: 5_000 })
}

/** The one error of a run that only installs, so that nothing but the way to the cluster is checked. */
async function errorOf(cluster: ReturnType<typeof clusterOf>): Promise<string> {
  try {
    await preflight(cluster, configOf('istio: { version: 1.31.0 }'), ['install'])
  } catch (error) {
    return (error as Error).message
  }
  return 'no error'
}

/** A proxy that leads every connection to `target`, or answers with `status`. */
async function proxyTo(target: string, status = 200): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = []
  const server: Server = createServer()
  server.on('connect', (request, socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? 'anonymous'}`)
    if (status !== 200) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
    const upstream = connect(Number(new URL(target).port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(socket).pipe(upstream)
    })
    for (const each of [upstream, socket]) each.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

const apiServer = () => serve((_, response) => response.end('{"gitVersion":"v1.36.1"}'))

describe('the API server is reached', () => {
  test('through the proxy of the environment, with its password', async () => {
    const proxy = await proxyTo((await apiServer()).address)
    vi.stubEnv('HTTP_PROXY', `http://me:pass@${proxy.address}`)
    expect(await clusterOf('http://api.cluster.test:8001').version()).toBe('v1.36.1')
    expect(proxy.asked).toEqual([`api.cluster.test:8001 Basic ${Buffer.from('me:pass').toString('base64')}`])
  })

  test('through the proxy of the kubeconfig, whatever NO_PROXY says', async () => {
    const { address } = await apiServer()
    const proxy = await proxyTo(address)
    vi.stubEnv('NO_PROXY', '*')
    const cluster = clusterOf('http://api.cluster.test:8001', {}, { 'proxy-url': `http://${proxy.address}` })
    expect(await cluster.version()).toBe('v1.36.1')
    expect(proxy.asked).toEqual(['api.cluster.test:8001 anonymous'])
  })

  test('by an account that may not read the version', async () => {
    const message = 'version is forbidden: User "ci" cannot get path "/version"'
    const { address } = await serve((_, response) => response.writeHead(403).end(JSON.stringify({ message })))
    expect(await errorOf(clusterOf(address))).toBe('no error')
  })
})

describe('one error names the cause and the remedy', () => {
  test.each<[number, string]>([
    [407, 'asks for credentials (HTTP 407); put them into its address'],
    [403, 'refuses the connection (HTTP 403); allow it in the proxy'],
  ])('if a proxy answers %i', async (status, words) => {
    const proxy = await proxyTo('http://127.0.0.1:1', status)
    vi.stubEnv('HTTP_PROXY', proxy.address)
    const message = await errorOf(clusterOf('http://api.cluster.test:8001'))
    expect(message).toContain(`kubeconfig: the proxy http://${proxy.address}, on the way to the API server`)
    expect(message).toContain(words)
  })

  test('if a proxy does not answer', async () => {
    vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1')
    expect(await errorOf(clusterOf('http://api.cluster.test:8001'))).toMatch(
      /the proxy http:\/\/127.0.0.1:1, .* does not lead there \(ECONNREFUSED\); check the address of the proxy/,
    )
  })

  test('if a credential program is missing, fails or prints nothing useful', async () => {
    const { address } = await apiServer()
    const exec = (command: string, ...args: string[]) => ({
      exec: { apiVersion: 'client.authentication.k8s.io/v1', command, args },
    })
    expect(await errorOf(clusterOf(address, exec('no-such-login')))).toBe(
      'kubeconfig: the program `no-such-login`, which makes the credentials of the user ci, is not on this machine; ' +
        'install it in an earlier step, or give a kubeconfig with a token',
    )
    const failing = exec('sh', '-c', 'echo "no session" >&2; exit 1')
    expect(await errorOf(clusterOf(address, failing))).toContain(
      'fails with 10 characters of errors, which may hold secrets; run it here to see why',
    )
    expect(await errorOf(clusterOf(address, exec('echo', 'hello')))).toContain('prints no ExecCredential')
    expect(await errorOf(clusterOf(address, exec('echo', '{}')))).toContain('prints no ExecCredential')
  })

  test('if the token has expired', async () => {
    const { address } = await serve((_, response) => response.writeHead(401).end('{"message":"Unauthorized"}'))
    const token = `h.${Buffer.from('{"exp":1767225600}').toString('base64url')}.s`
    expect(await errorOf(clusterOf(address, { token }))).toBe(
      'kubeconfig: the API server refuses the credentials of the user ci: its token expired on ' +
        '2026-01-01T00:00:00.000Z; issue a new one, and update the kubeconfig or the secret that holds it',
    )
  })

  test('if the user has no credentials', async () => {
    const message = 'forbidden: User "system:anonymous" cannot get path "/version"'
    const { address } = await serve((_, response) => response.writeHead(403).end(JSON.stringify({ message })))
    expect(await errorOf(clusterOf(address, {}))).toContain('does not know who asks')
  })

  test('if the server answers with TLS that nobody can check', async () => {
    const { address } = await apiServer()
    expect(await errorOf(clusterOf(address.replace('http:', 'https:')))).toMatch(/does not answer with TLS|EPROTO/)
  })
})

describe('a download', () => {
  const download = (address: string) => get(address, 'istio.mirror', {}, new AbortController().signal)

  test('that fails on the way through the proxy names the proxy, and one from this machine needs none', async () => {
    vi.stubEnv('HTTP_PROXY', 'http://127.0.0.1:1')
    await expect(download('http://198.51.100.7/x')).rejects.toThrow(/^through the proxy http:\/\/127.0.0.1:1: /)
    const { address } = await serve((_, response) => response.end('file'))
    expect((await download(address)).status).toBe(200)
  })
})
