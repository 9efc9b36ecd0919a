import type { User } from '@kubernetes/client-node'
import { describe, expect, test } from 'vitest'
import { credentialsFault, noAnswerFault, refusedFault } from '../../../src/cluster/connection-fault.ts'

const server = new URL('https://api.test:6443')
const proxy = new URL('http://ci:s3cr3t@proxy.test:3128')
const failure = (code: string | undefined, message = '') => Object.assign(new Error(message), code ? { code } : {})
const text = ({ cause, remedy }: { cause: string; remedy: string }) => `${cause}; ${remedy}`

describe('a server that cannot be reached', () => {
  test.each<[string, Error, URL | undefined, string[]]>([
    [
      'a name that does not resolve',
      failure('ENOTFOUND'),
      undefined,
      ['does not answer (ENOTFOUND)', 'check the address'],
    ],
    [
      'a CA that is not trusted',
      failure('SELF_SIGNED_CERT_IN_CHAIN'),
      undefined,
      ['cannot be trusted', 'a CA that is not trusted', '`certificate-authority-data` in the kubeconfig'],
    ],
    ['an expired certificate', failure('CERT_HAS_EXPIRED'), undefined, ['has expired', 'renew the certificate']],
    [
      'a certificate of another name',
      failure('ERR_TLS_CERT_ALTNAME_INVALID', 'not in x'),
      undefined,
      ['for another name'],
    ],
    [
      'a port without TLS',
      failure('ERR_SSL_WRONG_VERSION_NUMBER'),
      undefined,
      ['does not answer with TLS', 'one of http'],
    ],
    [
      'a client certificate that it refuses',
      failure('ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'),
      undefined,
      ['refuses the client certificate', 'renew the certificate of the user'],
    ],
    [
      'a proxy that does not answer',
      failure('ECONNREFUSED'),
      proxy,
      [
        'the proxy http://proxy.test:3128, on the way to the API server https://api.test:6443,',
        'add api.test to NO_PROXY',
      ],
    ],
    [
      'a proxy that wants credentials',
      failure(undefined, 'Bad response: 407'),
      proxy,
      ['asks for credentials (HTTP 407)'],
    ],
    [
      'a proxy that refuses',
      failure(undefined, 'Bad response: 403'),
      proxy,
      ['refuses the connection (HTTP 403)', 'allow it'],
    ],
  ])('for %s is reported with its own cause and remedy', (_, error, by, words) => {
    const message = text(noAnswerFault(server, error, by))
    for (const word of words) expect(message).toContain(word)
    expect(message).not.toContain('s3cr3t')
  })
})

describe('credentials that cannot be made', () => {
  const user = (exec: object): User => ({ name: 'ci', exec })
  const aws = user({ command: 'aws', installHint: 'Install the AWS CLI.\nSee its page.' })

  test.each<[string, User, unknown, string[]]>([
    [
      'a program that is missing',
      aws,
      failure('ENOENT', 'spawn aws ENOENT'),
      ['the program `aws`, which makes the credentials of the user ci, is not on this machine', 'Install the AWS CLI.'],
    ],
    ['a program that may not run', aws, failure('EACCES'), ['may not be executed', 'make the file executable']],
    [
      'a program that fails',
      aws,
      new Error('a\nb\nc\nno session'),
      ['fails with 16 characters of errors, which may hold secrets', 'run it here to see why'],
    ],
    ['a program that prints no JSON', aws, new SyntaxError('x'), ['prints no ExecCredential']],
    [
      'a file that cannot be read',
      { name: 'ci' },
      failure('EACCES', 'no'),
      ["cannot get the kubeconfig's credentials: no"],
    ],
  ])('because of %s name it', (_, who, error, words) => {
    for (const word of words) expect(text(credentialsFault(who, error))).toContain(word)
  })
})

describe('credentials that the server refuses', () => {
  const claims = (exp: number) => `h.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.s`
  const now = new Date('2026-06-01T00:00:00Z')
  const on = (date: string) => claims(Date.parse(date) / 1000)

  test.each<[string, Partial<User>, string]>([
    [
      'an expired token',
      { token: on('2026-05-01T00:00:00Z') },
      'the API server refuses the credentials of the user ci: its token expired on 2026-05-01T00:00:00.000Z; issue a new',
    ],
    [
      'a token that has not expired',
      { token: on('2026-07-01T00:00:00Z') },
      'ci: Unauthorized; they may be of another cluster',
    ],
    ['an opaque token', { token: 'opaque' }, 'ci: Unauthorized; they may be of another cluster'],
    ['a program', { exec: { command: 'aws' } }, 'which `aws` made: Unauthorized; check which identity'],
    ['no credentials at all', {}, 'the user ci of the kubeconfig has no credentials'],
    ['a certificate that cannot be read', { certData: 'eA==' }, 'ci: Unauthorized'],
  ])('with %s name the reason', (_, user, words) => {
    expect(text(refusedFault({ name: 'ci', ...user }, 'Unauthorized', now))).toContain(words)
  })
})
