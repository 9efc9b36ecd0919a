// The commands and their options: every input is an option, made from the table of inputs and described by the schema.
import { globSync } from 'node:fs'
import completion from '@bomb.sh/tab/commander'
import { Command, CommanderError, Option } from 'commander'
import { ConfigError } from '../config/error.ts'
import { inputs } from '../config/inputs.ts'
import { loadConfig } from '../config/load.ts'
import { nodeAt, publishedSchema, type Node } from '../config/published.ts'
import type { StageName } from '../config/schema.ts'
import { readInputs, variableOf } from './options.ts'
import { dropRunnerCommands } from './runner-commands.ts'
import { terminal } from './terminal.ts'

/** Where a run tells what it did, beside its lines. */
export type OutputOptions = { output: 'text' | 'json'; outputs?: string; summary?: string; junit?: string }

/** Stages that people run alone. */
const alone: Partial<Record<StageName, string>> = {
  plan: 'show what the policies would change; without a cluster, the objects as YAML',
  verify: 'ask the pods, the proxies and the wire whether all is as it must be',
  promote: 'move the traffic to the canary, step by step, while the evidence is good',
  rollback: 'put all traffic back to stable, whatever state the promotion is in',
  uninstall: 'take the mesh away, policies and sidecars included',
}

const about = `
Every option is an input of the action and a key of the config file. It can also be given as a variable:
--success-rate is MESH_CANARY_SUCCESS_RATE. An option goes before a variable, and a variable before the file.
Secrets do not belong into options, for other users of the machine can read those: give them as variables, or in files.

Exit codes: 0 done, promoted, or nothing to do; 1 failed, put back, or nobody can tell; 2 refused, for something is
wrong with what was asked, and nothing was touched; 130 or 143 cancelled by SIGINT or SIGTERM, the traffic put back
(or held, where \`onCancel\` says so).`

/** Runs one command line, without the program's name. Returns the exit code; rejects only because of a defect. */
export async function main(argv: readonly string[], version: string): Promise<number> {
  // Whoever reads our output may leave, as \`| head\` does: that must not end a promotion in the middle.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  dropRunnerCommands(process.stdout)
  let code = 0
  try {
    await program(version, async (work) => void (code = await work)).parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    // It has told what is wrong already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (!(error instanceof ConfigError)) throw error
    terminal(process.stderr, process.env).error(error.message)
    return 2
  }
}

/** `ended` is given the exit code of the command that was asked for. */
function program(version: string, ended: (code: Promise<number>) => Promise<void>): Command {
  const root = new Command('mesh-canary')
    .description(
      'Gives a Kubernetes cluster an Istio mesh, applies traffic policies, verifies the sidecars, and promotes a canary by evidence or puts it back.',
    )
    .version(version)
    .exitOverride()
    .configureHelp({ optionDescription: ({ description }) => description })
    .addHelpText('after', about)
  const options = inputOptions()
  const commanded = (name: string, description: string, chosen: Option[]) =>
    chosen.reduce(
      (command, option) => command.addOption(option),
      root.command(name).description(description).addHelpText('after', about),
    )

  const work = (stages?: StageName) => async (_: unknown, command: Command) => ended(run(command, stages))
  commanded('run', 'run the stages that the config asks for', [...options, ...tellingOptions()]).action(work())
  for (const [stage, description] of Object.entries(alone) as [StageName, string][])
    commanded(stage, `${description} (run --stages ${stage})`, [
      ...options.filter(({ long }) => long !== '--stages'),
      ...tellingOptions(),
    ]).action(work(stage))
  commanded(
    'init',
    'write a starter config from what is in the namespace',
    options.filter(({ long = '' }) => ['--namespace', '--kubeconfig', '--context'].includes(long)),
  )
    .argument('[file]', 'where to write it; `-` prints it', 'mesh.yaml')
    .option('--force', 'write over a file that is there')
    .action(async (file: string, { force = false }: { force?: boolean }, command: Command) =>
      ended(init(command, file, force)),
    )
  root
    .command('schema')
    .description('print the JSON Schema of the config file, for editors')
    .action(() => void console.log(JSON.stringify(publishedSchema(), null, 2)))
  for (const { options: completed } of completion(root).commands.values()) {
    const config = completed.get('config')
    if (config)
      config.handler = (complete) =>
        globSync('*.{yaml,yml}')
          .sort()
          .forEach((file) => complete(file, ''))
  }
  return root
}

function inputOptions(): Option[] {
  const root = publishedSchema()
  const configOption = new Option('--config <file>', 'Path of a config file; an option overrides what stands there.')
  const ofInputs = Object.entries(inputs).map(([name, { path, yaml }]) =>
    optionOf(name, nodeAt(path, root), yaml !== undefined),
  )
  return [configOption, ...ofInputs].map((option) => option.env(variableOf(option.name())).helpGroup('Inputs:'))
}

function optionOf(name: string, node: Node, isYaml: boolean): Option {
  const { description = '', type, default: value, enum: words, items } = node
  const isFlag = type === 'boolean'
  const fallback = Array.isArray(value)
    ? value.join(', ')
    : typeof value === 'object'
      ? ''
      : `${(value as string | boolean | undefined) ?? ''}`
  const option = new Option(
    isFlag ? `--${name} [true|false]` : `--${name} <value>`,
    `${description}${isYaml ? ' (YAML)' : ''}${fallback && ` Default: ${fallback}.`}`,
  )
  if (isFlag) option.preset('true')
  // Given twice, a list goes on.
  else if (type?.includes('array'))
    option.argParser((more: string, before: string | undefined) => (before === undefined ? more : `${before}\n${more}`))
  const choices = isFlag ? ['true', 'false'] : (words ?? items?.enum ?? node.properties?.['mode']?.enum)
  // What is right is for the config to say: these are for the completion only.
  if (choices) option.argChoices = choices
  return option
}

function tellingOptions(): Option[] {
  return [
    new Option('--output <text|json>', 'With json, the report on standard output and the lines on standard error.')
      .choices(['text', 'json'])
      .default('text'),
    new Option('--outputs <file>', 'Write the outputs as variables (dotenv): MESH_VERDICT, MESH_WEIGHT, …'),
    new Option('--summary <file>', 'Write the summary as Markdown.'),
    new Option('--junit <file>', 'Write a JUnit report: a test for each stage and for each promotion.'),
  ].map((option) => option.env(variableOf(option.name())).helpGroup('What is told:'))
}

async function run(command: Command, stages: StageName | undefined): Promise<number> {
  const { output, outputs, summary, junit } = command.opts<OutputOptions>()
  const config = loadConfig({ ...readInputs(command, process.env), ...(stages ? { INPUT_STAGES: stages } : {}) })
  // Only now: most of the program need not be loaded to say that an input is wrong.
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
