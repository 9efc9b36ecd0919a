// The objects of each policy as files, beside the config that they come from, so that a person can read them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { compile } from '../../../src/policies/compile/index.ts'
import { stringify } from '../../../src/yaml/stringify.ts'
import { configOf } from '../fixtures.ts'

const folder = resolve(import.meta.dirname, '../../golden')
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.mesh.yaml'))
  .map((file) => file.replace('.mesh.yaml', ''))
const now = Date.parse('2026-11-23T12:00:00Z')

test.each(names)('compiling %s gives the objects of its golden file', (name) => {
  const file = join(folder, `${name}.yaml`)
  const { objects, warnings } = compile(configOf(readFileSync(join(folder, `${name}.mesh.yaml`), 'utf8')), {}, now)
  const rendered = [
    ...warnings.map((warning) => `# warning: ${warning}\n`),
    ...objects.map((object) => `---\n${stringify(object)}`),
  ].join('')
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, rendered)
  expect(existsSync(file), `${file} is not there: run again with UPDATE_GOLDEN=1`).toBe(true)
  expect(rendered).toBe(readFileSync(file, 'utf8'))
})

test('every golden file has a config', () => {
  expect(
    readdirSync(folder)
      .filter((file) => /^[a-z-]+\.yaml$/.test(file))
      .sort(),
  ).toEqual(names.map((name) => `${name}.yaml`).sort())
})
