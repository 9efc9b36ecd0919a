// The generated parts of docs/from-flagger.md and docs/from-argo-rollouts.md: the tables of counterparts, and what
// `convert` makes of the example on the page.
import { readFileSync } from 'node:fs'
import type { EngineType } from '../src/config/schema/engine.ts'
import { argoTable } from '../src/engines/convert/argo/table.ts'
import { toMeshYaml } from '../src/engines/convert/convert.ts'
import { flaggerTable } from '../src/engines/convert/flagger/table.ts'
import { keysWithout } from '../src/engines/convert/ours.ts'
import type { Row, Table } from '../src/engines/convert/table.ts'
import { between } from './reference.ts'

/** `prefixes`: beginnings of paths that the page leaves out. */
const pages: Record<EngineType, { file: string; table: Table; kind: string; prefixes: string[]; example: string }> = {
  flagger: {
    file: 'docs/from-flagger.md',
    table: flaggerTable,
    kind: 'Canary',
    prefixes: ['spec.'],
    example: 'canary.yaml',
  },
  'argo-rollouts': {
    file: 'docs/from-argo-rollouts.md',
    table: argoTable.filter(({ kind }) => kind !== 'ClusterAnalysisTemplate'),
    kind: 'Rollout',
    prefixes: ['spec.strategy.canary.trafficRouting.', 'spec.strategy.canary.'],
    example: 'rollout.yaml',
  },
}

export function convertPages(): { file: string; text: string }[] {
  return (Object.keys(pages) as EngineType[]).map((engine) => {
    const { file, example } = pages[engine]
    let text = readFileSync(file, 'utf8')
    text = between(text, 'counterparts', counterparts(engine))
    text = between(text, 'without', withoutCounterpart(engine))
    text = between(text, 'keys', ownKeys(engine))
    return { file, text: between(text, 'example', exampleOf(text, example)) }
  })
}

function fieldName(engine: EngineType, { kind, field }: Row): string {
  const page = pages[engine]
  const prefixes = kind === page.kind ? page.prefixes : ['spec.']
  const prefix = prefixes.find((each) => field.startsWith(each)) ?? ''
  const name = field.slice(prefix.length)
  const title = kind === page.kind ? '' : `\`${kind}\`${name === '' ? '' : ': '}`
  return `${title}${name === '' ? '' : `\`${name}\``}`
}

function counterparts(engine: EngineType): string {
  const rows = pages[engine].table.flatMap((row) =>
    row.key === undefined ? [] : [[fieldName(engine, row), `\`${row.key}\``, row.says]],
  )
  return tableOf(['Field', 'mesh.yaml', 'Notes'], rows)
}

/** Fields of which the same is to say share a row. */
function withoutCounterpart(engine: EngineType): string {
  const rows = pages[engine].table.filter(({ key }) => key === undefined)
  const fields = Map.groupBy(rows, ({ says }) => says)
  return tableOf(
    ['Field', 'Why, or what to do instead'],
    [...fields].map(([says, same]) => [same.map((row) => fieldName(engine, row)).join(', '), says]),
  )
}

function ownKeys(engine: EngineType): string {
  const keys = Map.groupBy(
    keysWithout(engine).filter(({ key }) => key !== 'canary.engine'),
    ({ says }) => says,
  )
  return tableOf(
    ['Key', 'Why, or what to do instead'],
    [...keys].map(([says, same]) => [same.map(({ key }) => `\`${key}\``).join(', '), says]),
  )
}

function tableOf(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** The block of the page that is the file, converted. */
function exampleOf(page: string, name: string): string {
  const source = new RegExp(`^\`\`\`yaml\n(# ${name}\n[^]*?)^\`\`\`$`, 'm').exec(page)?.[1]
  if (source === undefined) throw new Error(`the page has no block of YAML that begins with # ${name}`)
  return `\`\`\`yaml\n${toMeshYaml([{ name, text: source }]).text}\`\`\``
}
