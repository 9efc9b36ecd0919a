// What the schema generates: action.yml, the JSON Schema for editors, and the tables in the README.
// `node dev/generate.ts` writes them; `check` compares.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { inputs } from '../src/config/inputs.ts'
import { nodeAt as nodeIn, publishedSchema as publish, type Node } from '../src/config/published.ts'
import { stringify } from '../src/yaml/stringify.ts'

const published = publish()
const nodeAt = (path: string[]) => nodeIn(path, published)

const outputs: Record<string, string> = {
  'istioctl-path': 'Absolute path of istioctl; its folder is also on the PATH of later steps.',
  'istioctl-version': 'Version of istioctl.',
  'cache-hit': '`true` when istioctl came from the tool cache, or from the cache between runs.',
  kubeconfig: 'Path of the kubeconfig of the cluster that `cluster` made or found, for the steps of this job.',
  'ingress-address': 'Where the ingress gateway of that cluster is reached, as `address:port`.',
  'cluster-logs': "Folder of its nodes' logs, of a run that failed.",
  'mesh-version': 'Version of the control plane in the cluster.',
  images:
    'Images of the control plane and its sidecars, with blanks between them, when it is installed or changed, or with `dry-run` would be.',
  verdict: 'How the promotion ended: `promoted`, `rolled-back`, `held`, `inconclusive` or `skipped`.',
  weight: "The canary's weight at the end, in per cent.",
  reason: 'Why it ended so.',
  'time-to-detect': "Seconds from the canary's first request to the decision against it.",
  'requests-observed': 'Requests that the canary served while it was watched.',
  changed: 'How many objects were created or changed and workloads restarted; 0 when everything was as asked.',
  report: 'Path of the JSON report.',
}

const configInput = 'Path of a config file. Its keys are the sections of this table; an input overrides the file.'

function actionYml(): string {
  const described = Object.entries(inputs).map(([name, { path, yaml, default: value }]): [string, object] => [
    name,
    {
      description: `${nodeAt(path).description ?? ''}${yaml ? ' (YAML)' : ''}`,
      ...(value === undefined ? {} : { default: value }),
    },
  ])
  return `# Generated from src/config by \`node dev/generate.ts\`.\n${stringify({
    name: 'mesh-canary',
    description:
      'Gives a Kubernetes cluster an Istio mesh, applies traffic policies, verifies the sidecars, and promotes a canary by evidence or puts it back.',
    author: 'The mesh-canary developers',
    branding: { icon: 'git-merge', color: 'blue' },
    inputs: { config: { description: configInput }, ...Object.fromEntries(described) },
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, description]) => [name, { description }])),
    runs: { using: 'node24', main: 'dist/index.js', post: 'dist/index.js', 'post-if': 'always()' },
  })}`
}

/** A default as the tables show it; nothing for a section or an empty list. */
function shown(value: unknown): string {
  const text = Array.isArray(value)
    ? value.join(', ')
    : typeof value === 'object'
      ? ''
      : String((value as string | number | undefined) ?? '')
  return text === '' ? '' : `\`${text}\``
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

function inputTable(): string {
  const rows = Object.entries(inputs).map(([name, { path, example, default: given }]) => {
    const { description = '', default: value = given } = nodeAt(path)
    const fallback = shown(value) === '' ? '' : ` Default: ${shown(value)}.`
    return `| \`${name}\` | \`${path.join('.')}\` | ${cell(description + fallback)} | \`${cell(example)}\` |`
  })
  return [
    '| Input | Key in the file | What it is | Example |',
    '| --- | --- | --- | --- |',
    `| \`config\` | | ${configInput} | \`mesh.yaml\` |`,
    ...rows,
  ].join('\n')
}

function keyRows(node: Node, path: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const place = path === '' ? key : `${path}.${key}`
    const rest = typeof child.additionalProperties === 'object' ? child.additionalProperties : undefined
    const isLeaf = !child.properties && !rest?.properties
    const row =
      isLeaf || child.description
        ? [`| \`${place}\` | ${shown(child.default)} | ${cell(child.description ?? '')} |`]
        : []
    return [...row, ...keyRows(child, place), ...(rest ? keyRows(rest, `${place}.<name>`) : [])]
  })
}

function keyTable(): string {
  return ['| Key | Default | What it is |', '| --- | --- | --- |', ...keyRows(published, '')].join('\n')
}

function outputTable(): string {
  return [
    '| Output | What it is |',
    '| --- | --- |',
    ...Object.entries(outputs).map(([name, text]) => `| \`${name}\` | ${cell(text)} |`),
  ].join('\n')
}

/** One section a policy: what to write, and the objects it becomes, from the golden files that the tests hold the compiler to. */
function policiesPage(): string {
  const folder = 'test/golden'
  const names = readdirSync(folder)
    .filter((file) => file.endsWith('.mesh.yaml'))
    .map((file) => file.replace('.mesh.yaml', ''))
  const sections = names.map((name) => {
    const [first = '', ...config] = readFileSync(`${folder}/${name}.mesh.yaml`, 'utf8').trim().split('\n')
    const objects = readFileSync(`${folder}/${name}.yaml`, 'utf8').trim()
    return `## ${name}\n\n${first.replace(/^# */, '')}\n\n\`\`\`yaml\n${config.join('\n')}\n\`\`\`\n\n<details><summary>becomes</summary>\n\n\`\`\`yaml\n${objects}\n\`\`\`\n\n</details>`
  })
  const intro =
    'Each policy as it stands in the config file, and the objects that it becomes. The sections of one file compile together:\nall that is asked of one service ends in one VirtualService and one DestinationRule. As an input, a section is the YAML\nbelow its key.'
  return `<!-- Generated from test/golden by \`node dev/generate.ts\`. -->\n\n# Policies\n\n${intro}\n\n${sections.join('\n\n')}\n`
}

function between(text: string, name: string, body: string): string {
  const [from, to] = [`<!-- ${name}: generated -->`, `<!-- /${name} -->`]
  const [start, end] = [text.indexOf(from), text.indexOf(to)]
  if (start < 0 || end < 0) throw new Error(`README.md lacks the markers ${from} and ${to}`)
  return `${text.slice(0, start + from.length)}\n${body}\n${text.slice(end)}`
}

/** Every generated file with what it should hold. */
export function generated(): { file: string; text: string }[] {
  const readme = readFileSync('README.md', 'utf8')
  const tables: [string, string][] = [
    ['inputs', inputTable()],
    ['keys', keyTable()],
    ['outputs', outputTable()],
  ]
  return [
    { file: 'action.yml', text: actionYml() },
    { file: 'docs/mesh.schema.json', text: `${JSON.stringify(published, null, 2)}\n` },
    { file: 'docs/policies.md', text: policiesPage() },
    { file: 'README.md', text: tables.reduce((text, [name, body]) => between(text, name, body), readme) },
  ]
}

if (import.meta.main) for (const { file, text } of generated()) writeFileSync(file, text)
