// What the documentation tells people to write is accepted as it stands.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { configOf } from '../fixtures.ts'

const snippets = [...readFileSync('docs/promotion.md', 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml)

test.each(snippets)('docs/promotion.md: %s', (yaml) => {
  const { canary, canaries } = configOf(yaml)
  expect(canary ?? canaries).toBeDefined()
})
