// Why a kubeconfig's credentials cannot be had.
import type { User } from '@kubernetes/client-node'
import { shownPath } from '../config/shown.ts'
import { messageOf } from '../runtime/errors.ts'

/** Shows nothing that a credential program printed: it may hold a secret. */
export function credentialsProblem(user: User | null, error: unknown): string {
  const command = (user?.exec as { command?: string } | null | undefined)?.command
  if (command === undefined) return messageOf(error)
  return `the program ${shownPath(command)} ${programProblem(error)}`
}

function programProblem(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code !== undefined) return `cannot be started (${code}); install it in an earlier step`
  if (error instanceof SyntaxError || error instanceof TypeError)
    return 'prints no ExecCredential; run it on this machine to see what it prints'
  const { length } = messageOf(error).trim()
  const reason = length === 0 ? 'and prints no reason' : `with ${length} characters of errors, which may hold secrets`
  return `fails ${reason}; run it on this machine to see why`
}
