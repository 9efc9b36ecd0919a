// What was given by options and variables, as the inputs that the config is loaded from. Pure.
import type { Command } from 'commander'
import { ConfigError } from '../config/error.ts'
import { inputs } from '../config/inputs.ts'
import { nearest } from '../config/nearest.ts'

const prefix = 'MESH_CANARY_'

/** The variable of an option: MESH_CANARY_DRY_RUN of `dry-run`. */
export function variableOf(option: string): string {
  return `${prefix}${option.toUpperCase().replaceAll('-', '_')}`
}

/** Options that are no inputs: they tell a run where to tell what it did. */
const others = ['output', 'outputs', 'summary', 'junit']

/** By `INPUT_` names, as the loader reads them. @throws ConfigError for a variable of ours that nobody knows, and for a kubeconfig whose content stands in the command line. */
export function readInputs(command: Command, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['config', ...Object.keys(inputs)]
  const known = [...names, ...others].map(variableOf)
  const unknown = Object.keys(env).find((name) => name.startsWith(prefix) && !known.includes(name))
  if (unknown !== undefined) throw new ConfigError(`the variable ${unknown}: is not known${nearest(unknown, known)}`)
  const options = command.options.filter((option) => names.includes(option.name()))
  const found = options.flatMap((option): [string, string][] => {
    const value = command.getOptionValue(option.attributeName()) as string | undefined
    return value === undefined ? [] : [[`INPUT_${option.name().toUpperCase()}`, value]]
  })
  const { INPUT_KUBECONFIG: kubeconfig = '', ...rest } = Object.fromEntries(found)
  if (command.getOptionValueSource('kubeconfig') === 'cli' && isContent(kubeconfig))
    throw new ConfigError(
      `--kubeconfig: expected a path; what stands in a command line can be read by others on the machine (\`ps\`), so give the content as the variable ${variableOf('kubeconfig')}`,
    )
  return { ...rest, INPUT_KUBECONFIG: kubeconfig }
}

/** YAML, JSON, or the same in base64. */
function isContent(kubeconfig: string): boolean {
  return /[\n{]|: /.test(kubeconfig) || kubeconfig.length > 1_000
}
