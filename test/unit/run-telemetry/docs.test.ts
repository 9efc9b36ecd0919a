import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { attribute, metric, trafficMoved } from '../../../src/run-telemetry/names.ts'

const page = readFileSync('docs/run-telemetry.md', 'utf8')

test('the page on telemetry lists every attribute and metric of ours, and no other', () => {
  const names = [...new Set([...Object.values(attribute), ...Object.values(metric), trafficMoved])].sort()
  const listed = [...new Set([...page.matchAll(/`(mesh_canary\.[\w.]+)`/g)].map(([, name]) => name))].sort()
  expect(listed).toEqual(names)
})

test('the page on telemetry lists every variable that is read', () => {
  const read = readFileSync('src/run-telemetry/settings.ts', 'utf8').match(/\bOTEL_[A-Z_]+(?=')/g) ?? []
  expect(read.length).toBeGreaterThan(3)
  for (const name of read) expect(page).toContain(name)
})
