// Each test runs one of the structural checks of `npm run check` on a folder with a planted fault.
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { checkFormat, checkImports } from '../../../dev/check.ts'
import { tempFolder } from '../fixtures.ts'

const root = resolve(import.meta.dirname, '../../..')

/** A project with these files and the tools of this project. */
function project(files: Record<string, string>): string {
  const folder = tempFolder()
  symlinkSync(join(root, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

test.each([
  ['src', 'layers'],
  ['src/canary', 'canaryLayers'],
])('every room of %s is in one layer', async (folder, name) => {
  const layers = (await import(join(root, 'dev/layers.mjs'))) as Record<string, string[][]>
  expect(layers[name]!.flat().sort()).toEqual(readdirSync(join(root, folder)).sort())
})

const clock = 'export type Clock = { now: () => number }\n'

test('imports from a lower room pass', async () => {
  const files = {
    'src/runtime/clock.ts': clock,
    'src/canary/clock.ts': "import type { Clock } from '../runtime/clock.ts'\n\nexport type Own = Clock\n",
  }
  await checkImports(project(files))
})

test('an import from a higher room fails, even if it imports only a type', async () => {
  const files = {
    'src/canary/clock.ts': clock,
    'src/runtime/time.ts': "import type { Clock } from '../canary/clock.ts'\n\nexport type Own = Clock\n",
  }
  await expect(checkImports(project(files))).rejects.toMatchObject({
    stdout: expect.stringContaining('runtime-imports-downward: src/runtime/time.ts → src/canary/clock.ts') as string,
  })
})

test('two files that import types of each other fail', async () => {
  const files = {
    'src/runtime/a.ts': "import type { B } from './b.ts'\n\nexport type A = { b?: B }\n",
    'src/runtime/b.ts': "import type { A } from './a.ts'\n\nexport type B = { a?: A }\n",
  }
  await expect(checkImports(project(files))).rejects.toMatchObject({
    stdout: expect.stringContaining('no-cycles') as string,
  })
})

test('a room of canary that imports from a higher one fails', async () => {
  const files = {
    'src/canary/controller/clock.ts': clock,
    'src/canary/state/time.ts': "import type { Clock } from '../controller/clock.ts'\n\nexport type Own = Clock\n",
  }
  await expect(checkImports(project(files))).rejects.toMatchObject({
    stdout: expect.stringContaining('canary-state-imports-downward') as string,
  })
})

test('a file that Biome would format differently fails, and a formatted one passes', async () => {
  await checkFormat(project({ 'src/runtime/clock.ts': clock }))
  await expect(checkFormat(project({ 'src/runtime/clock.ts': 'export   const a = "b";\n' }))).rejects.toMatchObject({
    stderr: expect.stringContaining('src/runtime/clock.ts') as string,
  })
})
