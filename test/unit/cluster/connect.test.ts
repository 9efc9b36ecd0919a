import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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
  vi.stubEnv('KUBECONFIG', undefined)
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
    expect(message).toContain('does not parse')
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
})
