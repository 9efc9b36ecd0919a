// The commands of the command line.
import { globSync } from 'node:fs'
import completion from '@bomb.sh/tab/commander'
import { Command, CommanderError, Option } from 'commander'
import { ConfigError } from '../config/error.ts'
import { loadConfig } from '../config/load.ts'
import { publishedSchema } from '../config/published.ts'
import type { StageName } from '../config/schema/stages.ts'
import type { EngineType } from '../config/schema/engine.ts'
import { inputOptions, readInputs, variableOf } from './options.ts'
import { outputOptions, type OutputOptions } from './output-options.ts'
import type { SimulateOptions } from './simulate.ts'
import { dropRunnerCommands } from '../runtime/runner-commands.ts'
import { terminal } from './terminal.ts'

const description =
  'Installs an Istio mesh in a Kubernetes cluster, applies traffic policies, verifies the sidecars, ' +
  'and promotes a canary by evidence or rolls it back.'

/** Stages that have a command of their own. */
const stageCommands: Partial<Record<StageName, string>> = {
  plan: 'show what the policies would change, or without a cluster, print the objects as YAML',
  verify: 'check pods, proxies and mTLS',
  promote: 'move the traffic to the canary step by step while the evidence is good',
  experiment: 'inject the faults of the experiments, and report how the mesh handled them',
  rollback: 'return all traffic to stable, in any state of the promotion',
  uninstall: 'remove the mesh, including policies and sidecars',
}

const helpFooter = `
Every option is also an input of the action, a key of the config file, and an environment variable:
--success-rate is MESH_CANARY_SUCCESS_RATE. An option overrides a variable, and a variable overrides the file.
Pass secrets in variables or files, because other users of the machine can read options.

Exit codes: 0 success: done, promoted, or nothing to do; 1 failure: failed, rolled back, fragile, or inconclusive;
2 rejected: the input is wrong, and nothing changed; 129, 130 or 143 cancelled by SIGHUP, SIGINT or SIGTERM, and rolled back
(or held, with \`onCancel: hold\`).`

const convertFooter = `
The result begins with comments: every field that it does not express, with its place, its value, and what to do instead.
It goes to standard output, and nothing is read but the files. Exit codes: 0 success; 2 a file is wrong.`

/** Runs one command line, without the program's name. Returns the exit code; rejects only because of a defect. */
export async function main(argv: readonly string[], version: string): Promise<number> {
  // The reader of our output may stop reading, as \`| head\` does. That must not end a promotion half-way.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  dropRunnerCommands(process.stdout)
  let code = 0
  try {
    await createProgram(version, async (work) => void (code = await work)).parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    // Commander has already printed what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (!(error instanceof ConfigError)) throw error
    terminal(process.stderr, process.env).error(error.message)
    return 2
  }
}

/** Receives the exit code of the command that runs. */
type OnExitCode = (code: Promise<number>) => Promise<void>

function createProgram(version: string, onExitCode: OnExitCode): Command {
  const root = new Command('mesh-canary')
    .description(description)
    .version(version)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(withoutOptionValues(text)) })
    .configureHelp({ optionDescription: ({ description }) => description })
    .addHelpText('after', helpFooter)
  addRunCommands(root, onExitCode)
  addInitCommand(root, onExitCode)
  addSimulateCommand(root, onExitCode)
  addConvertCommand(root, onExitCode)
  addStatusCommand(root, onExitCode)
  root
    .command('schema')
    .description('print the JSON Schema of the config file, for editors')
    .action(() => void console.log(JSON.stringify(publishedSchema(), null, 2)))
  completeConfigFiles(root)
  return root
}

/** Commander quotes an unknown option with its value, which may be a secret. */
function withoutOptionValues(text: string): string {
  return text.replace(/(--?[\w-]+)=[^'\n]*/g, '$1=…')
}

function addCommand(root: Command, name: string, description: string, options: Option[]): Command {
  const command = root.command(name).description(description).addHelpText('after', helpFooter)
  for (const option of options) command.addOption(option)
  return command
}

/** Gives each option its environment variable, and a heading in the help. */
function withVariables(options: Option[], heading: string): Option[] {
  return options.map((option) => option.env(variableOf(option.name())).helpGroup(heading))
}

function addRunCommands(root: Command, onExitCode: OnExitCode): void {
  const inputs = withVariables(inputOptions(), 'Inputs:')
  const outputs = withVariables(outputOptions(), 'Output:')
  addCommand(root, 'run', 'run the stages that the config needs', [...inputs, ...outputs]).action(
    (_: unknown, command: Command) => onExitCode(runStages(command, undefined)),
  )
  const withoutStages = inputs.filter(({ long }) => long !== '--stages')
  for (const [stage, about] of Object.entries(stageCommands) as [StageName, string][])
    addCommand(root, stage, `${about} (run --stages ${stage})`, [...withoutStages, ...outputs]).action(
      (_: unknown, command: Command) => onExitCode(runStages(command, stage)),
    )
}

function addInitCommand(root: Command, onExitCode: OnExitCode): void {
  const options = withVariables(inputOptions(), 'Inputs:').filter(({ long = '' }) =>
    ['--namespace', '--kubeconfig', '--context'].includes(long),
  )
  addCommand(root, 'init', 'write a config template for the objects in the namespace', options)
    .argument('[file]', 'file to write; `-` prints to standard output', 'mesh.yaml')
    .option('--force', 'overwrite an existing file')
    .action((file: string, { force = false }: { force?: boolean }, command: Command) =>
      onExitCode(init(command, file, force)),
    )
}

function addSimulateCommand(root: Command, onExitCode: OnExitCode): void {
  const options = withVariables(inputOptions(), 'Inputs:').filter(({ long }) => long !== '--stages')
  addCommand(root, 'simulate', 'show the chances of the canary in virtual time; changes nothing', options)
    .option('--rate <number>', 'requests per second that the service gets; default: what the live mesh shows')
    .option('--runs <number>', 'simulated promotions for each failure rate', '400')
    .option('--chart <file>', 'file to write the chart to, in SVG')
    .action((_: unknown, command: Command) => onExitCode(simulate(command)))
}

function addConvertCommand(root: Command, onExitCode: OnExitCode): void {
  root
    .command('convert')
    .description('print a config for objects of Flagger or Argo Rollouts, or with --to, such objects for a config')
    .argument(
      '<file...>',
      'files with a Canary or a Rollout, and with the templates that it names; with --to, a config file',
    )
    .addOption(new Option('--to <engine>', 'the engine to print objects for').choices(['flagger', 'argo-rollouts']))
    .addHelpText('after', convertFooter)
    .action((files: string[], { to }: { to?: EngineType }) => onExitCode(convert(files, to)))
}

function addStatusCommand(root: Command, onExitCode: OnExitCode): void {
  const options = withVariables(inputOptions(), 'Inputs:').filter(({ long = '' }) =>
    ['--config', '--namespace', '--kubeconfig', '--context'].includes(long),
  )
  addCommand(root, 'status', 'show the promotions and experiments in progress in the cluster; changes nothing', options)
    .option('--watch', 'keep showing them until Ctrl-C')
    .action((_: unknown, command: Command) => onExitCode(status(command)))
}

function completeConfigFiles(root: Command): void {
  for (const { options } of completion(root).commands.values()) {
    const config = options.get('config')
    if (!config) continue
    config.handler = (complete) => {
      for (const file of globSync('*.{yaml,yml}').sort()) complete(file, '')
    }
  }
}

async function runStages(command: Command, stage: StageName | undefined): Promise<number> {
  const { output, outputs, summary, junit } = command.opts<OutputOptions>()
  const given = { ...readInputs(command, process.env), ...(stage ? { INPUT_STAGES: stage } : {}) }
  const config = loadConfig(given, process.env)
  // A dynamic import: to reject a wrong input, most of the program need not be loaded.
  const { runCommand } = await import('./run.ts')
  return runCommand(config, {
    output,
    ...(outputs ? { outputs } : {}),
    ...(summary ? { summary } : {}),
    ...(junit ? { junit } : {}),
  })
}

async function init(command: Command, file: string, force: boolean): Promise<number> {
  const config = loadConfig(readInputs(command, process.env))
  const { writeConfig } = await import('./init.ts')
  return writeConfig(config, file, force)
}

async function convert(files: string[], to: EngineType | undefined): Promise<number> {
  const { convertFiles } = await import('./convert.ts')
  return convertFiles(files, to)
}

async function status(command: Command): Promise<number> {
  const config = loadConfig(readInputs(command, process.env), process.env)
  const { showStatus } = await import('./status.ts')
  return showStatus(config, { watch: command.opts<{ watch?: boolean }>().watch ?? false })
}

async function simulate(command: Command): Promise<number> {
  const config = loadConfig(readInputs(command, process.env), process.env)
  const { simulateConfig } = await import('./simulate.ts')
  return simulateConfig(config, command.opts<SimulateOptions>())
}
