// Finds the log line that explains a container's failure, and the remedy. Pure.
import { textLines } from '../runtime/text-lines.ts'
import { logMessage } from './log-lines.ts'

/**
 * The last line with information: not a stack frame, a closing brace, or the version that Node.js prints at the end.
 */
export function lastLine(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const line =
    lines.findLast((each) => /^(panic|fatal error): /.test(each)) ??
    lines.findLast((each) => !/^(\s|[\])}]|Node\.js v\d)/.test(each)) ??
    lines.at(-1)
  return logMessage(line ?? '')
}

/** Two limits lead to this error: a process's limit of open files, and a user's limit of inotify instances. */
export function tooManyOpenFiles(log: string): string | undefined {
  const line = textLines(log).findLast((each) => /too many open files/i.test(each))
  if (line === undefined) return undefined
  const limit = /inotify|watch/i.test(line)
    ? 'fs.inotify.max_user_instances on the node'
    : "the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them"
  return `${logMessage(line)}; raise ${limit}`
}

/** istio-init ends its log with the rules that it could not set; the error of iptables is above them. */
export function iptablesFailure(log: string): string {
  const line = textLines(log).findLast((each) =>
    /permission denied|operation not permitted|must be root|can't initialize|table does not exist/i.test(each),
  )
  return line === undefined ? lastLine(log) : logMessage(line)
}

/** istio-validation ends its log with advice; the failure is above it. */
export function validationFailure(log: string): string {
  const line = textLines(log).findLast((each) => each.includes('iptables validation failed'))
  return (line === undefined ? lastLine(log) : logMessage(line)).replace(/\.$/, '')
}

const proxyFailure =
  /was rejected|config not received|too many open files|connection error|failed to (sign|fetch|warm)|Internal:Error/i

const givenUpAtEnd = /code = Canceled|context canceled|client connection is closing/

/** What a sidecar gives up when it ends explains nothing. */
function explainsFailure(line: string): boolean {
  return proxyFailure.test(line) && !givenUpAtEnd.test(line)
}

export function namesProxyFailure(log: string): boolean {
  return textLines(log).some(explainsFailure)
}

/** Explains why a sidecar is not ready, or has ended. */
export function proxyReason(log: string): string {
  const lines = textLines(log)
  const line = lines.findLast(explainsFailure) ?? lines.findLast((each) => proxyFailure.test(each))
  if (line === undefined) return lastLine(log) || 'it logged nothing'
  if (line.includes('rejected')) return rejection(lines, line)
  if (/too many open files/i.test(line)) return tooManyOpenFiles(line)!
  const missing = missingPart(line)
  if (missing === undefined) return logMessage(line)
  return `it got no ${missing} from istiod; check that istiod runs and that the pod reaches it: ${logMessage(line)}`
}

function missingPart(line: string): string | undefined {
  if (line.includes('not received')) return 'configuration'
  return /certificate|failed to sign/.test(line) ? 'certificate' : undefined
}

/** The reason is on its own line, before or after the count of rejections. */
function rejection(lines: string[], countLine: string): string {
  const reason = lines.findLast((line) => /config rejected:|v3\.\w+ rejected:/.test(line)) ?? countLine
  return (
    `Envoy rejected its configuration: ${logMessage(reason)}; ` +
    'correct the object that names it (most often an EnvoyFilter), or delete it'
  )
}
