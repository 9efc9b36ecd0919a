// istioctl's own check of a cluster before an installation or an upgrade.
import { run } from '../tools/run.ts'
import { messagesOf } from '../policies/analyze.ts'

/** A sentence each, with code, object and message. */
export type Precheck = { errors: string[]; warnings: string[] }
export type PrecheckOptions = {
  istioctl: string
  cliArgs: readonly string[]
  suppress: readonly string[]
  signal: AbortSignal
}

/** Rejects when istioctl cannot check at all. It ends with 1 on a warning already, so what it prints is what counts. */
export async function precheck({ istioctl, cliArgs, suppress, signal }: PrecheckOptions): Promise<Precheck> {
  const { code, stdout, stderr } = await run(istioctl, ['x', 'precheck', '-o', 'json', ...cliArgs], signal)
  // Nothing at all is good news: it prints the messages alone, and prose to the other stream.
  const messages = stdout.trim() === '' ? [] : messagesOf(stdout)
  if (!messages || (code !== 0 && messages.length === 0))
    throw new Error(
      `istioctl x precheck (exit code ${code}) gave no result: ${stderr.trim().split('\n').slice(-3).join(' ') || 'it said nothing'}`,
    )
  const counted = messages.filter((message) => !suppress.includes(message.code ?? ''))
  const of = (level: string) =>
    counted
      .filter((message) => message.level === level)
      .map(
        ({ code, origin, message }) =>
          `${code ?? 'no code'}${origin === undefined || origin === '' ? '' : ` ${origin}`}: ${message ?? ''}`,
      )
  return { errors: of('Error'), warnings: of('Warning') }
}
