// Runs the commands of the documentation unchanged: each page from top to bottom, in a fresh checkout, on the mesh. A
// text block directly after a block of commands shows their output. test/unit/docs.test.ts checks the npm commands,
// because those run this suite.
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

/** Commands that run this suite or write generated files. */
const isSuiteCommand = ({ text }: Block) => text.split('\n').every((line) => /^(npm |node dev\/|$)/.test(line))
const isTested = (block: Block) => block.language === 'sh' && !isSuiteCommand(block)
/** docs/stages.md comes first, because it ends without a mesh; then the page that installs the mesh for the others. */
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
        // Errors appear between the other output, as on a terminal.
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
        // The lines must appear in this order, each within one line of output. `…` stands for any text.
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

/** Wraps a bare list of steps in a workflow. */
function asWorkflow(content: unknown, text: string): string {
  return Array.isArray(content)
    ? dump({ on: 'push', jobs: { job: { 'runs-on': 'ubuntu-latest', steps: content } } })
    : text
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** Writes a file that the page shows, so that the commands after it can use the file. */
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
