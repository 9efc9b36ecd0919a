// istioctl's own check of a cluster before an installation or an upgrade.
import { runProgram } from '../tools/run.ts'
import { messagesIn, withoutResult, type Message } from './analysis-messages.ts'

/** One sentence for each message: its code, object and text. */
export type Precheck = { errors: string[]; warnings: string[] }
export type PrecheckOptions = {
  istioctl: string
  cliArgs: readonly string[]
  /** Codes of messages to leave out, such as `IST0136`. */
  suppress: readonly string[]
  signal: AbortSignal
}

/**
 * Runs `istioctl x precheck`. Its exit code is 1 even after a warning, so only its output counts. Rejects if istioctl
 * cannot check at all.
 */
export async function precheck({ istioctl, cliArgs, suppress, signal }: PrecheckOptions): Promise<Precheck> {
  const { code, stdout, stderr } = await runProgram(istioctl, ['x', 'precheck', '-o', 'json', ...cliArgs], signal)
  // No output means no problem: istioctl prints messages to stdout, and everything else to stderr.
  const messages = stdout.trim() === '' ? [] : messagesIn(stdout)
  if (!messages || (code !== 0 && messages.length === 0)) throw withoutResult('istioctl x precheck', code, stderr)
  const shown = messages.filter((message) => !suppress.includes(message.code ?? ''))
  const ofLevel = (level: string) => shown.filter((message) => message.level === level).map(sentence)
  return { errors: ofLevel('Error'), warnings: ofLevel('Warning') }
}

function sentence({ code = 'no code', origin = '', message = '' }: Message): string {
  return `${code}${origin === '' ? '' : ` ${origin}`}: ${message}`
}
