import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { delimiter, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { connection, secretsOf } from '../../../src/cluster/connect.ts'
import { ConfigError } from '../../../src/config/error.ts'
import { fileWith, tempFolder } from '../fixtures.ts'

const key = '-----BEGIN KEY-----\nkey-material-s3cr3t\n-----END KEY-----\n'
const kubeconfig = `apiVersion: v1
kind: Config
current-context: staging
clusters:
  - { name: east, cluster: { server: "https://east.test:6443" } }
  - { name: west, cluster: { server: "https://west.test:6443" } }
contexts:
  - { name: staging, context: { cluster: east, user: ci } }
  - { name: production, context: { cluster: west, user: ci } }
  - { name: no-cluster, context: { cluster: gone, user: ci } }
  - { name: no-user, context: { cluster: east, user: gone } }
users:
  - { name: ci, user: { token: token-s3cr3t, password: short, client-key-data: ${Buffer.from(key).toString('base64')} } }
`
let temp: string

beforeEach(() => {
  temp = tempFolder()
  vi.stubEnv('HOME', temp)
  for (const name of ['KUBECONFIG', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']) vi.stubEnv(name, undefined)
})

afterEach(() => {
  vi.unstubAllEnvs()
})

function refusal(given: string | undefined, context?: string): string {
  try {
    connection(given, context, temp)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as Error).message
  }
  throw new Error('it was accepted')
}

describe('connection reads a kubeconfig', () => {
  test('from a file, with its current context, and passes both to istioctl', () => {
    const file = fileWith(kubeconfig)
    const { server, context, cliArgs, temporaryFile } = connection(file, undefined, temp)
    expect({ server, context, cliArgs, temporaryFile }).toEqual({
      server: 'https://east.test:6443',
      context: 'staging',
      cliArgs: ['--kubeconfig', file, '--context', 'staging'],
      temporaryFile: undefined,
    })
  })

  test('with another context than the current one', () => {
    expect(connection(fileWith(kubeconfig), 'production', temp)).toMatchObject({
      server: 'https://west.test:6443',
      context: 'production',
    })
  })

  test('from its content, and writes that for istioctl to a private file in a folder of its own', () => {
    const { server, cliArgs, temporaryFile } = connection(kubeconfig, undefined, temp)
    expect(server).toBe('https://east.test:6443')
    expect(cliArgs).toEqual(['--kubeconfig', temporaryFile, '--context', 'staging'])
    expect(readFileSync(temporaryFile!, 'utf8')).toBe(kubeconfig)
    expect(statSync(temporaryFile!).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(temporaryFile!)).mode & 0o777).toBe(0o700)
    expect([dirname(dirname(temporaryFile!)), readdirSync(dirname(temporaryFile!))]).toEqual([temp, ['kubeconfig']])
    expect(connection(kubeconfig, undefined, temp).temporaryFile).not.toBe(temporaryFile)
  })

  test('from its content in base64, as a secret often has it', () => {
    const { server, temporaryFile } = connection(Buffer.from(kubeconfig).toString('base64'), undefined, temp)
    expect(server).toBe('https://east.test:6443')
    expect(readFileSync(temporaryFile!, 'utf8')).toBe(kubeconfig)
  })

  test('from base64 wrapped at 76 columns, as `base64` prints it', () => {
    expect(
      connection(Buffer.from(kubeconfig).toString('base64').replace(/.{76}/g, '$&\n'), undefined, temp).server,
    ).toBe('https://east.test:6443')
  })

  test('from a file with a colon in its name', () => {
    expect(connection(fileWith(kubeconfig, 'a:b'), undefined, temp).server).toBe('https://east.test:6443')
  })

  test('from JSON on one line', () => {
    const json = JSON.stringify({
      'current-context': 'a',
      clusters: [{ name: 'c', cluster: { server: 'https://c.test' } }],
      contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
      users: [{ name: 'u', user: {} }],
    })
    expect(connection(json, undefined, temp).server).toBe('https://c.test')
  })

  test('from the environment when the config gives none', () => {
    vi.stubEnv('KUBECONFIG', fileWith(kubeconfig))
    expect(connection(undefined, undefined, temp)).toMatchObject({
      server: 'https://east.test:6443',
      cliArgs: ['--context', 'staging'],
    })
  })
})

describe('connection', () => {
  test.each<[string, string | undefined, string | undefined, string[]]>([
    [
      'a file that does not exist',
      '/no/such/kubeconfig',
      undefined,
      ['kubeconfig: the file /no/such/kubeconfig does not exist', 'give the path of a kubeconfig, or its content'],
    ],
    [
      'content that does not parse',
      'users: [\n  - {',
      undefined,
      ['kubeconfig: the content given as kubeconfig does not parse', 'kubectl config view --raw --minify'],
    ],
    [
      'an unknown context',
      kubeconfig,
      'stagnig',
      ['context: the context "stagnig" does not exist', 'the kubeconfig has staging, production, no-cluster, no-user'],
    ],
    [
      'no current context',
      kubeconfig.replace('current-context: staging\n', ''),
      undefined,
      ['context: no context is given', 'no current-context', 'the kubeconfig has staging'],
    ],
    [
      'no context at all',
      'apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n',
      undefined,
      ['kubeconfig: the content given as kubeconfig holds no context', 'it must be a whole kubeconfig'],
    ],
    [
      'a context without its cluster',
      kubeconfig,
      'no-cluster',
      [
        'kubeconfig: the context no-cluster names a cluster that the kubeconfig does not hold',
        'choose another context',
      ],
    ],
    [
      'a context without its user',
      kubeconfig,
      'no-user',
      ['kubeconfig: the context no-user names a user that the kubeconfig does not hold', 'add the user'],
    ],
    ['no kubeconfig at all', undefined, undefined, ['kubeconfig: there is none', 'set KUBECONFIG', '~/.kube/config']],
  ])('rejects %s', (_, given, context, words) => {
    const message = refusal(given, context)
    for (const word of words) expect(message).toContain(word)
  })

  test('names a file that does not parse', () => {
    const file = fileWith('a: [', 'kubeconfig')
    expect(refusal(file)).toContain(`kubeconfig: the kubeconfig ${file} does not parse`)
  })

  test.each([
    ['bad indentation', 'users:\n  - user:\n      token: s3cr3t-token\n    password: s3cr3t-pass\n bad: x\n'],
    ['a duplicate key', 'a: s3cr3t-token\na: s3cr3t-pass\n'],
    ['a tab', 'users:\n\ttoken: s3cr3t-token\n'],
    ['an open quote', 'token: "s3cr3t-token\n'],
    ['incomplete JSON', '{ "users": [ { "token": "s3cr3t-token"'],
    ['an undefined alias', 'users:\n  - user: { token: *s3cr3t }\n'],
    ['an unknown tag', 'users:\n  - user: { token: !s3cr3t x }\n'],
  ])('shows no secret in the error for %s', (_, content) => {
    const message = refusal(content)
    expect(message).toMatch(/does not parse|holds no context/)
    expect(message).not.toContain('s3cr3t')
  })

  test('names the line of a parser error if it is known', () => {
    expect(refusal('users:\n  - user: { token: *s3cr3t }\n')).toContain('(line 2)')
  })

  test.each([
    ['token', 's3cr3t'.repeat(50)],
    ['base64 text', Buffer.from('s3cr3t, and no kubeconfig at all '.repeat(20)).toString('base64')],
  ])('does not print a long %s that is neither path nor content', (_, given) => {
    const message = refusal(given)
    expect(message).toContain('characters) does not exist; give the path of a kubeconfig, or its content')
    expect(message).not.toContain(given.slice(0, 20))
  })

  test('does not print the start of a long text before its first colon either', () => {
    expect(refusal(`s3cr3t-name:${'x'.repeat(300)}`)).not.toContain('s3cr3t')
  })

  test('names a missing file of the environment', () => {
    vi.stubEnv('KUBECONFIG', '/no/such/config')
    expect(refusal(undefined)).toContain('kubeconfig: the file /no/such/config does not exist')
  })

  test('leaves no file behind after an error', () => {
    refusal(kubeconfig, 'stagnig')
    expect(readdirSync(temp)).toEqual([])
  })
})

/** A kubeconfig with one cluster, user and context of these names. */
const single = (name: string, more: { current?: boolean; server?: string; user?: object; cluster?: object } = {}) =>
  JSON.stringify({
    ...(more.current ? { 'current-context': name } : {}),
    clusters: [{ name, cluster: { server: more.server ?? `https://${name}.test`, ...more.cluster } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    users: [{ name, user: more.user ?? { token: `token-${name}` } }],
  })

describe('a list in KUBECONFIG', () => {
  const listOf = (...files: string[]) => vi.stubEnv('KUBECONFIG', files.join(delimiter))

  test('skips files that do not exist and files that are empty, and takes the first current-context', () => {
    listOf(
      '/no/such/file',
      fileWith(''),
      fileWith(single('one')),
      fileWith(single('two', { current: true })),
      fileWith(single('three', { current: true })),
    )
    expect(connection(undefined, undefined, temp)).toMatchObject({
      server: 'https://two.test',
      context: 'two',
      cliArgs: ['--context', 'two'],
    })
    expect(connection(undefined, 'three', temp).server).toBe('https://three.test')
  })

  test('takes the first entry of a name', () => {
    listOf(
      fileWith(single('one', { server: 'https://first.test' })),
      fileWith(single('one', { current: true, server: 'https://second.test' })),
    )
    expect(connection(undefined, undefined, temp).server).toBe('https://first.test')
  })

  test('takes a path as relative to the file that names it', () => {
    const files = ['one', 'two'].map((name) => {
      const file = fileWith(
        single(name, {
          current: true,
          cluster: { 'certificate-authority': 'ca.pem' },
          user: { tokenFile: './token', 'client-key': 'key.pem', 'client-certificate': 'cert.pem' },
        }),
      )
      for (const each of ['ca.pem', 'token', 'key.pem', 'cert.pem'])
        writeFileSync(join(dirname(file), each), `${each} of ${name}`)
      return file
    })
    listOf(...files)
    const { config } = connection(undefined, 'two', temp)
    const folder = dirname(files[1]!)
    expect(config.getCurrentCluster()?.caFile).toBe(join(folder, 'ca.pem'))
    expect(config.getCurrentUser()).toMatchObject({
      certFile: join(folder, 'cert.pem'),
      keyFile: join(folder, 'key.pem'),
      authProvider: { config: { tokenFile: join(folder, 'token') } },
    })
  })

  test('starts a credential program relative to its file if its name has a slash, and else from the PATH', () => {
    const exec = (command: string) => ({ exec: { command, apiVersion: 'client.authentication.k8s.io/v1' } })
    const file = fileWith(single('one', { user: exec('./bin/login') }))
    const onPath = fileWith(single('two', { user: exec('login') }))
    listOf(file, onPath)
    const commandOf = (context: string) =>
      (connection(undefined, context, temp).config.getCurrentUser()?.exec as { command: string }).command
    expect([commandOf('one'), commandOf('two')]).toEqual([join(dirname(file), 'bin/login'), 'login'])
  })

  test('may also be the input, and istioctl gets it as one file', () => {
    const list = [fileWith(single('one', { current: true })), '/no/such/file', fileWith(single('two'))].join(delimiter)
    const { server, temporaryFile, cliArgs } = connection(list, 'two', temp)
    expect([server, cliArgs]).toEqual(['https://two.test', ['--kubeconfig', temporaryFile, '--context', 'two']])
    expect(connection(temporaryFile, undefined, temp).server).toBe('https://one.test')
  })

  test('of which no file exists is an error that names them', () => {
    listOf('/no/such/one', '/no/such/two')
    expect(refusal(undefined)).toContain(`the file /no/such/one${delimiter}/no/such/two does not exist`)
  })

  test('fails for a file that does not parse, and names it', () => {
    const broken = fileWith('a: [')
    listOf(fileWith(single('one', { current: true })), broken)
    expect(refusal(undefined)).toContain(`the kubeconfig ${broken} does not parse (line 1)`)
  })
})

describe('a kubeconfig', () => {
  test.each<[string, object, string]>([
    [
      'certificate-authority',
      { cluster: { 'certificate-authority': '/no/ca.pem' } },
      'the cluster c names the file /no/ca.pem',
    ],
    ['client-key', { user: { 'client-key': '/no/key.pem' } }, 'the user c names the file /no/key.pem'],
    ['tokenFile', { user: { tokenFile: '/no/token' } }, 'the user c names the file /no/token'],
  ])('whose %s does not exist is an error that names entry and file', (key, more, words) => {
    const message = refusal(single('c', { current: true, ...more }))
    expect(message).toContain(`kubeconfig: ${words} as its ${key}, and there is none`)
  })

  test('prefers data to a file', () => {
    const cluster = { 'certificate-authority': '/no/ca.pem', 'certificate-authority-data': 'eA==' }
    expect(
      connection(single('c', { current: true, cluster }), undefined, temp).config.getCurrentCluster(),
    ).toMatchObject({ caData: 'eA==' })
  })

  test.each<[string, string, string, string]>([
    ['a token', 'token: token-s3cr3t', 'token: 0123456', 'line 13: token of ci'],
    ['a current context', 'current-context: staging', 'current-context: 12', 'line 3: current-context'],
  ])('with %s that YAML reads as a number gets the hint to quote it', (_, text, number, words) => {
    const message = refusal(kubeconfig.replace(text, number))
    expect(message).toContain(words)
    expect(message).toContain('put it in quotes')
    expect(message).not.toContain('123456')
  })

  test('may hold incomplete entries that the context does not use', () => {
    const text = JSON.parse(single('c', { current: true })) as { clusters: object[] }
    text.clusters.push({ name: 'draft', cluster: {} })
    expect(connection(JSON.stringify(text), undefined, temp).server).toBe('https://c.test')
  })

  test('of `kubectl proxy` needs neither a user nor https', async () => {
    const text = JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:8001' } }],
      contexts: [{ name: 'c', context: { cluster: 'c' } }],
    })
    const options: RequestOptions = {}
    await connection(text, undefined, temp).config.applyToHTTPSOptions(options)
    expect(options.headers).toEqual({})
  })
})

describe('the proxy', () => {
  const proxyOf = (server: string, cluster = {}) =>
    connection(single('c', { current: true, server, cluster }), undefined, temp).config.getCurrentCluster()?.proxyUrl

  test('is that of the environment, unless the kubeconfig names one', () => {
    vi.stubEnv('HTTPS_PROXY', 'http://ci:s3cr3t-pass@proxy.test:3128')
    vi.stubEnv('NO_PROXY', '10.0.0.0/8, .internal')
    expect(proxyOf('https://api.test:6443')).toBe('http://ci:s3cr3t-pass@proxy.test:3128')
    expect(proxyOf('https://10.1.2.3:6443')).toBeUndefined()
    expect(proxyOf('https://api.internal')).toBeUndefined()
    expect(proxyOf('https://api.internal', { 'proxy-url': 'socks5://own.test:1080' })).toBe('socks5://own.test:1080')
  })

  test('has a password that is a secret', () => {
    vi.stubEnv('HTTPS_PROXY', 'http://ci:s3cr3t-pass@proxy.test:3128')
    expect(secretsOf(connection(single('c', { current: true }), undefined, temp).config)).toContain('s3cr3t-pass')
  })
})

test('a pod without a token of a service account is told so', () => {
  vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.96.0.1')
  vi.stubEnv('KUBERNETES_SERVICE_PORT', '443')
  expect(refusal(undefined)).toContain('this pod has no token of a service account')
})

describe('secretsOf', () => {
  test('returns each secret value, the key as written and line by line, and nothing short or public', () => {
    const { config } = connection(kubeconfig, undefined, temp)
    expect(secretsOf(config)).toEqual(['token-s3cr3t', Buffer.from(key).toString('base64'), 'key-material-s3cr3t'])
  })

  test('returns nothing for a user without secrets', () => {
    const file = join(temp, 'plain')
    writeFileSync(file, kubeconfig.replace(/user: \{ token.*\} \}/, 'user: {} }'))
    expect(secretsOf(connection(file, undefined, temp).config)).toEqual([])
  })

  test('returns what the kubeconfig passes to credential programs, without settings such as a region', () => {
    const file = join(temp, 'plugin')
    const exec = `exec: { apiVersion: client.authentication.k8s.io/v1, command: login, args: [--client-secret, s3cr3t-of-client, --token=s3cr3t-token, --cluster, production-eu],
      env: [{ name: LOGIN_KEY, value: s3cr3t-of-env }, { name: AWS_REGION, value: eu-central-1 }] }`
    writeFileSync(file, kubeconfig.replace(/user: \{ token.*\} \}/, `user: { ${exec} } }`))
    expect(secretsOf(connection(file, undefined, temp).config).toSorted()).toEqual([
      's3cr3t-of-client',
      's3cr3t-of-env',
      's3cr3t-token',
    ])
  })

  test('returns no path of a file with a token', () => {
    const token = fileWith('s3cr3t-token')
    const text = single('c', { current: true, user: { tokenFile: token } })
    expect(secretsOf(connection(text, undefined, temp).config)).toEqual([])
  })
})
