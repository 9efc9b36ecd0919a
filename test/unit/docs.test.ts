// The configs and workflows in the documentation are valid, and its quotes and links match the repository.
// test/e2e/docs.test.ts runs its commands.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { load, loadAll } from 'js-yaml'
import { loadConfig } from '../../src/config/load.ts'
import { YamlError } from '../../src/yaml/faults.ts'
import { parseAll } from '../../src/yaml/parse.ts'
import { blocksOf, kindOf, pages, type Block } from '../pages.ts'
import { configOf } from './fixtures.ts'

type Step = { uses?: string; with?: Record<string, string | number | boolean> }
type Workflow = { jobs: Record<string, { steps: Step[] }> }

const examples = readdirSync('examples/workflows').map((file) => `examples/workflows/${file}`)
const blocks = pages().flatMap((page) => blocksOf(page))
// The compiler's own tests check the generated files.
const yaml = blocks.filter(({ language, page }) => language === 'yaml' && page !== 'docs/policies.md')
const titled = (each: Block): [string, Block] => [`${each.page}:${each.line}`, each]
const ofKind = (kind: ReturnType<typeof kindOf>) =>
  yaml.filter(({ text }) => kindOf(loadAll(text)[0]) === kind).map(titled)

test.each(ofKind('config'))('the config %s is valid', (_, { text }) => {
  configOf(text)
})

test.each(ofKind('manifests'))('the manifests %s are valid YAML', (_, { text }) => {
  expect(parseAll(text).filter((document) => document instanceof YamlError)).toEqual([])
})

test.each(
  ofKind('workflow')
    .map(([name, { text }]): [string, string] => [name, text])
    .concat(examples.map((file) => [file, readFileSync(file, 'utf8')])),
)('the workflow %s passes only inputs that the action accepts', (_, text) => {
  const steps = Object.values((load(text) as Workflow).jobs).flatMap((job) => job.steps)
  expect(loadSteps(steps)).toBeGreaterThan(0)
})

test.each(ofKind('steps'))('the steps %s pass only inputs that the action accepts', (_, { text }) => {
  expect(loadSteps(load(text) as Step[])).toBeGreaterThan(0)
})

/** Loads the inputs of each step that uses this action, and returns the number of these steps. */
function loadSteps(steps: Step[]): number {
  const ours = steps.filter(({ uses }) => uses === './')
  for (const { with: inputs = {} } of ours)
    loadConfig(
      Object.fromEntries(
        Object.entries(inputs).map(([name, value]) => [
          `INPUT_${name.toUpperCase()}`,
          asRead(name, String(value), inputs),
        ]),
      ),
    )
  return ours.length
}

/** Replaces GitHub expressions, because their values are unknown here, and uses a config of the sample app. */
function asRead(name: string, value: string, { image }: NonNullable<Step['with']>): string {
  if (name === 'config' && !existsSync(value))
    return `examples/sample-app/${image === undefined ? 'mesh' : 'release'}.yaml`
  const isExpression = /^\$\{\{[^}]*\}\}$/.test(value.trim())
  return isExpression ? '' : value.replaceAll(/\$\{\{.*?\}\}/g, '1')
}

describe('the documentation', () => {
  const links = pages()
    .flatMap((page) =>
      [...withoutBlocks(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']): [string, string] => [page, target]),
    )
    .filter(([, target]) => !/^[a-z]+:/.test(target))

  test.each(links)('in %s links to the existing target %s', (page, target) => {
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? page : normalize(join(dirname(page), path))
    expect(existsSync(file)).toBe(true)
    if (anchor !== undefined) expect(anchors(file)).toContain(anchor)
  })

  test('lists every page in its index', () => {
    const index = readFileSync('docs/README.md', 'utf8')
    const files = ['', 'reference/'].flatMap((folder) => readdirSync(`docs/${folder}`).map((file) => folder + file))
    const missing = files.filter((file) => file.endsWith('.md') && file !== 'README.md' && !index.includes(`(${file})`))
    expect(missing).toEqual([])
  })

  // A name in the form [`name`](../src/file.ts), or with the folder of the file.
  const names = pages().flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/\[`(\w+)`\]\(([^)\s]*src\/[^)\s]+)\)/g)].map(
      ([, name = '', target = '']): [string, string, string] => [page, name, normalize(join(dirname(page), target))],
    ),
  )

  const paths = pages().flatMap((page) =>
    [...withoutBlocks(page).matchAll(/`((?:src|dev|test|bench)\/[\w./-]+)`/g)].map(
      ([, path = '']): [string, string] => [page, path],
    ),
  )

  test.each(paths)('in %s mentions the existing path %s', (_, path) => expect(existsSync(path)).toBe(true))

  test('mentions functions of the source', () => expect(names.length).toBeGreaterThan(20))

  test.each(names)('in %s mentions %s, which %s exports', (_, name, target) => {
    const files = statSync(target).isDirectory() ? readdirSync(target).map((file) => join(target, file)) : [target]
    const source = files.map((file) => readFileSync(file, 'utf8')).join('\n')
    expect(source).toMatch(new RegExp(`export (async )?(function|class|const) ${name}\\b`))
  })
})

function withoutBlocks(page: string): string {
  return readFileSync(page, 'utf8').replaceAll(/^ *```[\s\S]*?^ *```$/gm, '')
}

/** The anchors that GitHub makes of headings. */
function anchors(page: string): string[] {
  return [...withoutBlocks(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

describe('docs/troubleshooting.md', () => {
  const page = 'docs/troubleshooting.md'
  const source = readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => asSaid(joined(readFileSync(join('src', file), 'utf8'))))
    .join('\n')
  const messages = blocks
    .filter((block) => block.page === page && block.language === 'text')
    .map(({ text }) => text.trim())
  const inTables = withoutBlocks(page)
    .split('\n')
    .flatMap((line) =>
      /^\| `/.test(line) ? [...(line.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, text = '']) => text) : [],
    )

  test('quotes enough messages to test', () =>
    expect([messages.length > 20, inTables.length > 10]).toEqual([true, true]))

  test.each([...messages, ...inTables])('quotes a message of the source: %s', (message) => {
    expect(source).toContain(message.replace(/^[….,:; ]+|[…:; ]+$/g, ''))
  })
})

/** Joins strings that the source splits. */
function joined(text: string): string {
  return text.replaceAll(/['"`]\s*\+\s*['"`]/g, '')
}

/**
 * The source with `…` for each value in its strings, inner ones first, without escaped quotes, and with split strings
 * joined.
 */
function asSaid(source: string): string {
  const text = source.replaceAll(/[`'"] \+\s+[`'"]/g, '')
  const simpler = text.replaceAll(/\$\{[^{}]*\}/g, '…').replaceAll(/…{2,}/g, '…')
  const plain = text.replaceAll(/\\(?=[`'])/g, '')
  return simpler === text ? plain : `${plain}\n${asSaid(simpler)}`
}

describe('the commands in the documentation', () => {
  test('are in blocks that state their language', () => {
    expect(
      blocks
        .filter(({ language }) => !['sh', 'yaml', 'text', 'json', 'groovy', 'mermaid'].includes(language))
        .map(titled),
    ).toEqual([])
  })

  // `npm test` runs all of these.
  test('name existing npm scripts and programs', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
    const lines = blocks.filter(({ language }) => language === 'sh').flatMap(({ text }) => text.split('\n'))
    const npm = lines.flatMap((line) => /^npm (?:run )?([a-z0-9:]+)/.exec(line)?.[1] ?? [])
    const node = lines.flatMap((line) => /^node (dev\/\S+)/.exec(line)?.[1] ?? [])
    expect(npm.length).toBeGreaterThan(5)
    expect(npm.filter((name) => !(name in scripts) && name !== 'ci')).toEqual([])
    expect(node.filter((file) => !existsSync(file))).toEqual([])
  })

  // Kubernetes refuses a second one, or to change the role of the first.
  test('create no RoleBinding whose name deploy/rbac uses', () => {
    const commands = pages().flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/create rolebinding ([a-z-]+)/g)].map(([, name]) => name!),
    )
    const files = readdirSync('deploy/rbac').map((file) => readFileSync(join('deploy/rbac', file), 'utf8'))
    const deployed = files.flatMap((text) => loadAll(text) as ({ kind?: string; metadata?: { name: string } } | null)[])
    const names = deployed.flatMap((each) => (each?.kind === 'RoleBinding' ? [each.metadata?.name] : []))
    expect(names).toContain('mesh-canary-experiment')
    expect(commands.length).toBeGreaterThan(0)
    expect(commands.filter((name) => names.includes(name))).toEqual([])
  })
})
