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
import { asHere, checkout } from './checkout.ts'
import { embedded, type World } from './world.ts'

let world: World
let root: string
type Said = { stdout: string; code?: number }

/** What is told of the suite's own scripts is what runs this. */
const isOurs = ({ text }: Block) => text.split('\n').every((line) => /^(npm |node dev\/|$)/.test(line))
const runs = (block: Block) => block.language === 'sh' && !isOurs(block)
/** The stages come first, for they end without a mesh, and then the page that makes the one that the others find. */
const early = ['docs/getting-started.md', 'docs/stages.md']
const withCommands = pages()
  .filter((page) => blocksOf(page).some(runs))
  .sort((a, b) => early.indexOf(b) - early.indexOf(a))

describe('commands', () => {
  beforeAll(async () => {
    world = await embedded()
    await world.run(['istioctl', 'uninstall', '--purge', '-y'])
    await world.run(['kubectl', 'delete', 'namespace', 'istio-system', '--ignore-not-found', '--wait'])
  })

  describe.each(withCommands)('%s', (page) => {
    beforeAll(async () => {
      root = checkout(world)
      await world.run(['kubectl', 'delete', 'namespace', 'sample-app', '--ignore-not-found', '--wait'])
    })
    afterAll(() => rmSync(root, { recursive: true, force: true }))
    const blocks = blocksOf(page)

    for (const [i, block] of blocks.entries()) {
      if (!runs(block)) continue
      const next = blocks[i + 1]
      const said = next?.language === 'text' && next.follows ? next.text.trim().split('\n') : []
      test(`the commands from line ${block.line} print what the page says: ${block.text.split('\n')[0]}`, async () => {
        blocks.slice(0, i).forEach(write)
        // What goes wrong is told among the rest, as on a terminal.
        const [program = '', ...args] = world.runner.enter!([
          'bash',
          '-euo',
          'pipefail',
          '-c',
          `exec 2>&1\n${block.text}`,
        ])
        const { stdout, code = 0 }: Said = await promisify(execFile)(program, args, {
          cwd: root,
          env: { ...process.env, ...world.runner.env },
          maxBuffer: 64 << 20,
        }).catch((error: unknown) => error as Said)
        // In this order, each within a line; `…` is whatever comes.
        const printed = new RegExp(
          said
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
  const asked = ({ text }: Block) => loadAll(text)[0]
  const blocks = pages()
    .flatMap((page) => blocksOf(page))
    .filter((block) => block.language === 'yaml' && ['workflow', 'steps'].includes(kindOf(asked(block))))

  test.each(blocks.map((block): [string, string] => [`${block.page}:${block.line}`, whole(asked(block), block.text)]))(
    '%s passes actionlint',
    async (_, text) => {
      const linter = spawn(await goTool('actionlint'), ['-no-color', '-'])
      linter.stdin.end(text)
      expect(await textOf(linter.stdout)).toBe('')
    },
  )
})

/** Steps alone are those of a job. */
function whole(content: unknown, text: string): string {
  return Array.isArray(content)
    ? dump({ on: 'push', jobs: { job: { 'runs-on': 'ubuntu-latest', steps: content } } })
    : text
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** A file that a page tells to write is there for the commands after it. */
function write(block: Block): void {
  const file = fileOf(block)
  if (file === undefined) return
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(
    join(root, file),
    kindOf(loadAll(block.text)[0]) === 'config' || file === 'istio.yaml' ? asHere(world, block.text) : block.text,
  )
}
