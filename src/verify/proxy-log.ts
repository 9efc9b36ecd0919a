// What a container's log tells of its trouble: the one line that a person would quote, and what to do about it.
import { logLines, messageOfLine } from './log-lines.ts'

/** The last line that says something: no stack frame, no closing brace, not the version with which Node.js takes its leave. */
export function lastLine(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const said =
    lines.findLast((line) => /^(panic|fatal error): /.test(line)) ??
    lines.findLast((line) => !/^(\s|[\])}]|Node\.js v\d)/.test(line)) ??
    lines.at(-1)
  return messageOfLine(said ?? '')
}

/** Two limits end in the same error: that of the files and sockets of a process, and that of a user's inotify instances. */
export function outOfFiles(log: string): string | undefined {
  const line = logLines(log).findLast((each) => /too many open files/i.test(each))
  if (line === undefined) return undefined
  const limit = /inotify|watch/i.test(line)
    ? 'fs.inotify.max_user_instances on the node'
    : "the container's limit of open files (ulimit -n, which the node's container runtime sets), unless it leaks them"
  return `${messageOfLine(line)}; raise ${limit}`
}

/** istio-init ends with a dump of the rules that it could not set; the complaint of iptables stands before it. */
export function whyIptables(log: string): string {
  const told = logLines(log).findLast((line) =>
    /permission denied|operation not permitted|must be root|can't initialize|table does not exist/i.test(line),
  )
  return told === undefined ? lastLine(log) : messageOfLine(told)
}

/** istio-validation ends with advice. */
export function whyInvalid(log: string): string {
  const told = logLines(log).findLast((line) => line.includes('iptables validation failed'))
  return (told === undefined ? lastLine(log) : messageOfLine(told)).replace(/\.$/, '')
}

/** Of a sidecar that is not ready, or ended. */
export function proxyReason(log: string): string {
  const lines = logLines(log)
  const told = lines.findLast((line) =>
    /was rejected|config not received|too many open files|connection error|failed to (sign|fetch|warm)|Internal:Error/i.test(
      line,
    ),
  )
  if (told === undefined) return lastLine(log) || 'it logged nothing'
  if (told.includes('rejected')) return rejection(lines, told)
  if (/too many open files/i.test(told)) return outOfFiles(told)!
  const missing = told.includes('not received')
    ? 'configuration'
    : /certificate|failed to sign/.test(told)
      ? 'certificate'
      : undefined
  return missing === undefined
    ? messageOfLine(told)
    : `it got no ${missing} from istiod; check that istiod runs and that the pod reaches it: ${messageOfLine(told)}`
}

/** What is wrong stands in a line of its own, before or after the count of what was rejected. */
function rejection(lines: string[], told: string): string {
  const reason = lines.findLast((line) => /config rejected:|v3\.\w+ rejected:/.test(line)) ?? told
  return `Envoy rejected its configuration: ${messageOfLine(reason)}; correct the object that names it (most often an EnvoyFilter), or delete it`
}
