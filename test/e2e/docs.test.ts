// The commands of the documentation, run as they stand there: each page from its beginning to its end, in a fresh checkout, on
// the mesh. A block of text right after one of commands is what they print. What the pages say of npm is this suite itself, and is
// looked at by test/unit/docs.test.ts.
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dump, loadAll } from 'js-yaml'
import { goTool } from '../mesh/index.ts'
import { blocksOf, fileOf, kindOf, pages, type Block } from '../pages.ts'
import { adaptedToMesh, checkout } from './checkout.ts'
import { embeddedMesh, type TestCluster } from './world.ts'

let testCluster: TestCluster
let root: string
type CommandOutput = { stdout: string; code?: number }

/** What is told of the suite's own scripts is what runs this. */
const isSuiteCommand = ({ text }: Block) => text.split('\n').every((line) => /^(npm |node dev\/|$)/.test(line))
const isTested = (block: Block) => block.language === 'sh' && !isSuiteCommand(block)
/** The stages come first, for they end without a mesh, and then the page that makes the one that the others find. */
const firstPages = ['docs/getting-started.md', 'docs/stages.md']
const pagesWithCommands = pages()
  .filter((page) => blocksOf(page).some(isTested))
  .sort((a, b) => firstPages.indexOf(b) - firstPages.indexOf(a))

describe('commands', () => {
  beforeAll(async () => {
    testCluster = await embeddedMesh()
    await testCluster.run(['istioctl', 'uninstall', '--purge', '-y'])
    await testCluster.run(['kubectl', 'delete', 'namespace', 'istio-system', '--ignore-not-found', '--wait'])
  })

  describe.each(pagesWithCommands)('%s', (page) => {
    beforeAll(async () => {
      root = checkout(testCluster)
      await testCluster.run(['kubectl', 'delete', 'namespace', 'sample-app', '--ignore-not-found', '--wait'])
    })
    afterAll(() => rmSync(root, { recursive: true, force: true }))
    const blocks = blocksOf(page)

    for (const [i, block] of blocks.entries()) {
      if (!isTested(block)) continue
      const next = blocks[i + 1]
      const expectedLines = next?.language === 'text' && next.follows ? next.text.trim().split('\n') : []
      test(`the commands from line ${block.line} print what the page says: ${block.text.split('\n')[0]}`, async () => {
        blocks.slice(0, i).forEach(writeQuotedFile)
        // What goes wrong is told among the rest, as on a terminal.
        const [program = '', ...args] = testCluster.runner.enter!([
          'bash',
          '-euo',
          'pipefail',
          '-c',
          `exec 2>&1\n${block.text}`,
        ])
        const { stdout, code = 0 }: CommandOutput = await promisify(execFile)(program, args, {
          cwd: root,
          env: { ...process.env, ...testCluster.runner.env },
          maxBuffer: 64 << 20,
        }).catch((error: unknown) => error as CommandOutput)
        // In this order, each within a line; `…` is whatever comes.
        const printed = new RegExp(
          expectedLines
            .map((line) => line.split('…').map(escaped).join('.*'))
            .concat('exit code 0')
            .join('[^]*'),
        )
        expect(`${stdout}\nexit code ${code}`).toMatch(printed)
      })
    }
  })
})

describe('workflows', () => {
  const parsed = ({ text }: Block) => loadAll(text)[0]
  const blocks = pages()
    .flatMap((page) => blocksOf(page))
    .filter((block) => block.language === 'yaml' && ['workflow', 'steps'].includes(kindOf(parsed(block))))

  test.each(
    blocks.map((block): [string, string] => [`${block.page}:${block.line}`, asWorkflow(parsed(block), block.text)]),
  )('%s passes actionlint', async (_, text) => {
    const linter = spawn(await goTool('actionlint'), ['-no-color', '-'])
    linter.stdin.end(text)
    expect(await textOf(linter.stdout)).toBe('')
  })
})

/** Steps alone are those of a job. */
function asWorkflow(content: unknown, text: string): string {
  return Array.isArray(content)
    ? dump({ on: 'push', jobs: { job: { 'runs-on': 'ubuntu-latest', steps: content } } })
    : text
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** A file that a page tells to write is there for the commands after it. */
function writeQuotedFile(block: Block): void {
  const file = fileOf(block)
  if (file === undefined) return
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(
    join(root, file),
    kindOf(loadAll(block.text)[0]) === 'config' || file === 'istio.yaml'
      ? adaptedToMesh(testCluster, block.text)
      : block.text,
  )
}
