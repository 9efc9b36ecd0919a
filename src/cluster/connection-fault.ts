// Why the API server cannot be used, in words with a remedy: the way there, its certificate, or the credentials.
import { X509Certificate } from 'node:crypto'
import type { User } from '@kubernetes/client-node'
import { shownPath } from '../config/shown.ts'
import { messageOf } from '../runtime/errors.ts'
import { tlsFault, type Fault } from '../runtime/tls-fault.ts'

const checkNetwork = 'check the address in the kubeconfig, the network of the runner, and that the cluster is up'

/** A request that got no answer. `proxy`: what it went through. */
export function noAnswerFault(url: URL, error: NodeJS.ErrnoException, proxy: URL | undefined): Fault {
  const fault = tlsFault(error, 'set `certificate-authority-data` in the kubeconfig to the CA that signed it')
  if (fault) return { cause: `the API server ${url.origin} cannot be trusted: ${fault.cause}`, remedy: fault.remedy }
  if (refusesClient(error))
    return {
      cause: `the API server ${url.origin} refuses the client certificate (${error.code ?? error.message})`,
      remedy: 'renew the certificate of the user in the kubeconfig',
    }
  return proxy ? proxyFault(url, error, proxy) : { cause: noAnswer(url, error), remedy: checkNetwork }
}

function noAnswer(url: URL, { code, message }: NodeJS.ErrnoException): string {
  return `the API server ${url.origin} does not answer (${code ?? message})`
}

function refusesClient({ code = '', message }: NodeJS.ErrnoException): boolean {
  return /ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA)|alert (certificate|bad certificate|unknown ca)/i.test(
    `${code} ${message}`,
  )
}

function proxyFault(url: URL, error: NodeJS.ErrnoException, proxy: URL): Fault {
  const title = `the proxy ${proxy.origin}, on the way to the API server ${url.origin},`
  const bypass = `or add ${url.hostname} to NO_PROXY if the server can be reached without it`
  const status = /Bad response: (\d+)/.exec(error.message)?.[1]
  if (status === '407')
    return { cause: `${title} asks for credentials (HTTP 407)`, remedy: `put them into its address, ${bypass}` }
  if (status !== undefined)
    return { cause: `${title} refuses the connection (HTTP ${status})`, remedy: `allow it in the proxy, ${bypass}` }
  return {
    cause: `${title} does not lead there (${error.code ?? error.message})`,
    remedy: `check the address of the proxy (\`proxy-url\` of the kubeconfig, HTTPS_PROXY), ${bypass}`,
  }
}

/** The credentials cannot be made. Shows nothing that a credential program printed: it may hold a secret. */
export function credentialsFault(user: User | null | undefined, error: unknown, isLate = false): Fault {
  const command = execOf(user)?.command
  if (command === undefined || isLate)
    return { cause: `cannot get the kubeconfig's credentials: ${messageOf(error)}`, remedy: 'check the kubeconfig' }
  const program = `the program \`${shownPath(command)}\`, which makes the credentials of the user ${user!.name},`
  const otherwise = 'or give a kubeconfig with a token'
  const { code } = error as NodeJS.ErrnoException
  const hint = execOf(user)?.installHint?.trim().split('\n')[0]
  if (code === 'ENOENT')
    return {
      cause: `${program} is not on this machine`,
      remedy: `install it in an earlier step, ${otherwise}${hint ? ` (the kubeconfig says: ${hint})` : ''}`,
    }
  if (code === 'EACCES')
    return { cause: `${program} may not be executed (EACCES)`, remedy: `make the file executable, ${otherwise}` }
  if (error instanceof SyntaxError || error instanceof TypeError)
    return { cause: `${program} prints no ExecCredential`, remedy: `run it here to see what it prints, ${otherwise}` }
  if (code !== undefined)
    return { cause: `${program} cannot be started (${code})`, remedy: `install it in an earlier step, ${otherwise}` }
  const { length } = messageOf(error).trim()
  const reason = length === 0 ? 'and prints no reason' : `with ${length} characters of errors, which may hold secrets`
  return {
    cause: `${program} fails ${reason}`,
    remedy: `run it here to see why, ${otherwise}`,
  }
}

type Exec = { command?: string; installHint?: string }

function execOf(user: User | null | undefined): Exec | undefined {
  return (user?.exec as Exec | null | undefined) ?? undefined
}

/** The server refuses the credentials (401). */
export function refusedFault(user: User | null | undefined, message: string, now: Date = new Date()): Fault {
  const name = user?.name ?? 'of the kubeconfig'
  const command = execOf(user)?.command
  const refuses = `the API server refuses the credentials of the user ${name}`
  const expiry = expiryOf(user)
  if (expiry !== undefined && expiry.at <= now)
    return {
      cause: `${refuses}: ${expiry.what} expired on ${expiry.at.toISOString()}`,
      remedy: 'issue a new one, and update the kubeconfig or the secret that holds it',
    }
  if (command !== undefined)
    return {
      cause: `${refuses}, which \`${shownPath(command)}\` made: ${message}`,
      remedy: 'check which identity it runs with here',
    }
  if (user && !hasCredentials(user))
    return {
      cause: `the user ${name} of the kubeconfig has no credentials: ${message}`,
      remedy: 'add a token or a client certificate',
    }
  return {
    cause: `${refuses}: ${message}`,
    remedy: 'they may be of another cluster, revoked or expired: issue new ones, and update the kubeconfig',
  }
}

function hasCredentials({ token, password, certData, certFile, authProvider }: User): boolean {
  return [token, password, certData, certFile, authProvider].some(Boolean)
}

function expiryOf(user: User | null | undefined): { what: string; at: Date } | undefined {
  const at = user?.token ? tokenExpiry(user.token) : undefined
  if (at) return { what: 'its token', at }
  if (!user?.certData) return undefined
  try {
    const { validTo } = new X509Certificate(Buffer.from(user.certData, 'base64'))
    return { what: 'its client certificate', at: new Date(validTo) }
  } catch {
    return undefined
  }
}

/** From the claim `exp` of a JSON Web Token. */
function tokenExpiry(token: string): Date | undefined {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: number }
    return exp === undefined ? undefined : new Date(exp * 1000)
  } catch {
    return undefined
  }
}
