// Loads inputs and config file into one validated, immutable Config, or throws one error that lists all faults.
import { findFaults } from './check.ts'
import { engineFaults } from './check/engine.ts'
import { ConfigError } from './error.ts'
import { identityOf } from './identity.ts'
import { inputs } from './inputs.ts'
import { alteredNumbers, messageOfIssue } from './issue-messages.ts'
import { nearest } from './nearest.ts'
import { withPrometheusServers } from './observability.ts'
import { withReleaseDefaults } from './release-defaults.ts'
import { newNameOfInput } from './renamed-keys.ts'
import { readText } from './read.ts'
import { schema, type Config } from './schema.ts'
import { dotted } from './shown.ts'
import { gather, type Source } from './source.ts'

/**
 * Reads the `INPUT_<NAME>` variables that the runner sets. An empty variable counts as not given. `runEnv`: the
 * variables by which the CI system names the repository.
 * @throws ConfigError with one line for each fault: place, key, value, and what to do.
 */
export function loadConfig(env: NodeJS.ProcessEnv, runEnv: NodeJS.ProcessEnv = env): Config {
  const inputValues = givenInputs(env)
  const name = inputValues.get('config')
  const file = name === undefined ? undefined : { name, text: readText('input config', name) }
  return configOf(file, inputValues, runEnv)
}

/** The config of a text that is not read from a file. @throws ConfigError as `loadConfig` does */
export function configOf(
  file: { name: string; text: string } | undefined,
  inputValues: ReadonlyMap<string, string> = new Map(),
  runEnv: NodeJS.ProcessEnv = {},
): Config {
  const name = file?.name
  const source = gather(file, inputValues)
  const parsed = schema.safeParse(source.value)
  if (!parsed.success) throw listed(parsed.error.issues.map((issue) => messageOfIssue(issue, source)))
  const altered = alteredNumbers(source, parsed.data)
  if (altered.length > 0) throw listed(altered)
  const config = { ...parsed.data, identity: identityOf(name, parsed.data.name, runEnv) }
  const faults = [...findFaults(config), ...engineFaults(config, source.value)]
  if (faults.length > 0)
    throw listed(faults.map(({ path, message }) => `${source.where(path)}: ${dotted(path)}: ${message}`))
  return freeze({ ...withReleaseDefaults(withPrometheusServers(config)), places: placesOf(config, source) })
}

/** Where each section, and each entry of a section, is written. */
function placesOf(config: Config, { where }: Source): Record<string, string> {
  const { services, expose, jwt, authorization, canaries } = config
  const entries = (path: string[], names: object = {}) => Object.keys(names).map((name) => [...path, name])
  const paths = [
    ...Object.keys(config).map((key) => [key]),
    ...entries(['services'], services),
    ...entries(['expose'], expose),
    ...entries(['jwt'], jwt),
    ...entries(['authorization', 'rules'], authorization?.rules),
    ...entries(['canaries'], canaries),
  ]
  return Object.fromEntries(paths.map((path) => [path.join('.'), where(path.slice(0, -1), path.at(-1))]))
}

function listed(messages: string[]): ConfigError {
  return new ConfigError(messages.join('\n'))
}

function givenInputs(env: NodeJS.ProcessEnv): Map<string, string> {
  const known = ['config', ...Object.keys(inputs)]
  const inputValues = new Map<string, string>()
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('INPUT_') || value === undefined || value.trim() === '') continue
    const name = variable.slice('INPUT_'.length).toLowerCase().replaceAll('_', '-')
    if (!known.includes(name)) {
      const newName = newNameOfInput(name)
      if (newName !== undefined) throw new ConfigError(`input ${name}: was renamed; write \`${newName}\` instead`)
      throw new ConfigError(`input ${name}: is not known${nearest(name, known)}`)
    }
    inputValues.set(name, value.trim())
  }
  return inputValues
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(freeze)
  return Object.freeze(value)
}
