// The secrets that a kubeconfig passes to the programs and services that make its credentials. Pure.
import type { User } from '@kubernetes/client-node'

type Exec = { args?: string[] | null; env?: { name: string; value?: string }[] | null }

/** The values of the program's variables and of its secret options, and the tokens of an auth provider. */
export function secretsOfPlugins({ exec, authProvider }: User): string[] {
  const { args, env } = (exec ?? {}) as Exec
  const config = (authProvider as { config?: Record<string, unknown> } | null | undefined)?.config ?? {}
  return [
    ...(env ?? []).filter(({ name }) => !publicVariable.test(name)).map(({ value }) => value),
    ...secretArguments(args ?? []),
    ...Object.entries(config).flatMap(([key, value]) => (isSecret(key) ? [value] : [])),
  ].filter((value) => typeof value === 'string')
}

const secretName = /token|secret|password|passwd|credential|private|api-?key/i

/** Settings that also occur in ordinary lines, such as the name of a region. */
const publicVariable =
  /(region|profile|project|account|tenant|subscription|cluster|name|mode|method|version|path|file|dir|home|endpoints?)$/i

/** False for a key such as `tokenFile`, whose value is a path. */
function isSecret(key: string): boolean {
  return secretName.test(key) && !publicVariable.test(key)
}

/** `--client-secret=VALUE`, or `--client-secret VALUE`. */
function secretArguments(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const [, name = '', value] = /^--?([^=]+)(?:=(.*))?$/s.exec(arg) ?? []
    return isSecret(name) ? [value ?? args[i + 1] ?? ''] : []
  })
}
