// The options that say where a run writes its results, besides the lines that it prints.
import { Option } from 'commander'

export type OutputOptions = { output: 'text' | 'json'; outputs?: string; summary?: string; junit?: string }

/** Their names, which are not names of inputs. */
export const outputOptionNames = ['output', 'outputs', 'summary', 'junit'] as const satisfies (keyof OutputOptions)[]

export function outputOptions(): Option[] {
  return [
    new Option(
      '--output <text|json>',
      'With json, prints the report to standard output and the lines to standard error.',
    )
      .choices(['text', 'json'])
      .default('text'),
    new Option('--outputs <file>', 'Writes the outputs as variables (dotenv): MESH_VERDICT, MESH_WEIGHT, …'),
    new Option('--summary <file>', 'Writes the summary as Markdown.'),
    new Option(
      '--junit <file>',
      'Writes a JUnit report with a test for each stage, each promotion and each experiment.',
    ),
  ]
}
