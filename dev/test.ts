// `npm test`: runs all checks and tests; `npm test -- PART…` runs the test files whose paths contain one of
// the parts.
// The last line says how many passed and failed.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { basename } from 'node:path'
import { buildTools } from '../test/mesh/index.ts'
import { check, type Result } from './check.ts'

type VitestReport = {
  numPassedTests: number
  numTotalTests: number
  testResults: { name: string; startTime: number; endTime: number }[]
}

const pathParts = process.argv.slice(2)
const shownFiles = 30
const results = pathParts.length === 0 ? [await check()] : []
results.push(await vitest('unit'))
results.push(await vitest('browser'))
// A part of the tests builds what it needs on first use. The whole would build it beside tests that have time limits.
if (pathParts.length === 0) await buildTools()
results.push(await vitest('e2e'))
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failed = results.reduce((sum, result) => sum + result.failed, 0)
if (passed + failed === 0) console.log(`No test file has ${pathParts.join(' or ')} in its path.`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)

/** A run counts as failed if it ends without results, or if it skipped or did not reach a test. */
async function vitest(project: string): Promise<Result> {
  const file = `out/test-${project}.json`
  mkdirSync('out', { recursive: true })
  rmSync(file, { force: true })
  const reporters = ['--reporter=verbose', '--reporter=json', `--outputFile.json=${file}`]
  const filter = pathParts.length > 0 ? ['--passWithNoTests', ...pathParts] : []
  const args = ['run', '--project', `${project}*`, ...reporters, ...filter]
  const code = await new Promise<number>((resolve) =>
    spawn('vitest', args, { stdio: 'inherit' }).once('close', (status) => resolve(status ?? 1)),
  )
  try {
    const report = JSON.parse(readFileSync(file, 'utf8')) as VitestReport
    printSlowestFiles(report)
    const failed = report.numTotalTests - report.numPassedTests
    return { passed: report.numPassedTests, failed: failed === 0 && code !== 0 ? 1 : failed }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

/** Prints the slowest files. The times are those of the tests, without `beforeAll`. */
function printSlowestFiles({ testResults }: VitestReport): void {
  const seconds = testResults.map(({ name, startTime, endTime }) => ({ name, took: (endTime - startTime) / 1000 }))
  const slowest = seconds.toSorted((a, b) => b.took - a.took).slice(0, shownFiles)
  for (const { name, took } of slowest) console.log(`${took.toFixed(1).padStart(7)} s  ${basename(name)}`)
}
