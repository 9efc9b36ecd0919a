// Inputs as options of the command line and as environment variables.
import { Option, type Command } from 'commander'
import { ConfigError } from '../config/error.ts'
import { inputs } from '../config/inputs.ts'
import { nearest } from '../config/nearest.ts'
import { nodeAt, publishedSchema, type SchemaNode } from '../config/published.ts'
import { outputOptionNames } from './output-options.ts'

const prefix = 'MESH_CANARY_'

/** The environment variable of an option: MESH_CANARY_DRY_RUN for `dry-run`. */
export function variableOf(option: string): string {
  return `${prefix}${option.toUpperCase().replaceAll('-', '_')}`
}

/** One option for each input, with the description from the schema. */
export function inputOptions(): Option[] {
  const root = publishedSchema()
  return [
    new Option('--config <file>', 'Path of a config file. An option overrides the value in the file.'),
    ...Object.entries(inputs).map(([name, { path, yaml }]) => optionOf(name, nodeAt(path, root), yaml !== undefined)),
  ]
}

function optionOf(name: string, node: SchemaNode, isYaml: boolean): Option {
  const isFlag = node.type === 'boolean'
  const option = new Option(isFlag ? `--${name} [true|false]` : `--${name} <value>`, descriptionOf(node, isYaml))
  if (isFlag) option.preset('true')
  else if (node.type?.includes('array'))
    // A list that is given twice continues.
    option.argParser((more: string, before: string | undefined) => (before === undefined ? more : `${before}\n${more}`))
  const choices = isFlag ? ['true', 'false'] : (node.enum ?? node.items?.enum ?? node.properties?.['mode']?.enum)
  // For the completion only: commander must not reject other values, because the config's own errors say more.
  if (choices) option.argChoices = choices
  return option
}

function descriptionOf({ description = '', default: value }: SchemaNode, isYaml: boolean): string {
  const fallback = defaultText(value)
  return `${description}${isYaml ? ' (YAML)' : ''}${fallback && ` Default: ${fallback}.`}`
}

/** Empty for the default of a section. */
function defaultText(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ')
  return typeof value === 'object' ? '' : String((value as string | boolean | undefined) ?? '')
}

/**
 * The given inputs as `INPUT_` variables, which the config is loaded from.
 * @throws ConfigError for an unknown MESH_CANARY_ variable, and for the content of a kubeconfig on the command line
 */
export function readInputs(command: Command, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['config', ...Object.keys(inputs)]
  rejectUnknownVariables([...names, ...outputOptionNames].map(variableOf), env)
  const inputValues = command.options
    .filter((option) => names.includes(option.name()))
    .flatMap((option): [string, string][] => {
      const value = command.getOptionValue(option.attributeName()) as string | undefined
      return value === undefined ? [] : [[`INPUT_${option.name().toUpperCase()}`, value]]
    })
  const { INPUT_KUBECONFIG: kubeconfig = '', ...rest } = Object.fromEntries(inputValues)
  if (command.getOptionValueSource('kubeconfig') === 'cli' && isContent(kubeconfig))
    throw new ConfigError(
      '--kubeconfig: expected a path. Other users of the machine can read a command line with `ps`, ' +
        `so pass the content in the variable ${variableOf('kubeconfig')}`,
    )
  return { ...rest, INPUT_KUBECONFIG: kubeconfig }
}

function rejectUnknownVariables(known: string[], env: NodeJS.ProcessEnv): void {
  const unknown = Object.keys(env).find((name) => name.startsWith(prefix) && !known.includes(name))
  if (unknown !== undefined) throw new ConfigError(`the variable ${unknown} is unknown${nearest(unknown, known)}`)
}

/** True for a kubeconfig in YAML, JSON, or either of them in base64. */
function isContent(kubeconfig: string): boolean {
  return /[\n{]|: /.test(kubeconfig) || kubeconfig.length > 1_000
}
