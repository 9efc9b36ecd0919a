// `npm test`: runs all checks and tests. The last line says how many passed and failed.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { check, type Result } from './check.ts'

const results = [await check(), await vitest('unit'), await vitest('e2e')]
const passed = results.reduce((sum, result) => sum + result.passed, 0)
const failed = results.reduce((sum, result) => sum + result.failed, 0)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)

/** A run counts as failed if it ends without results, or if it skipped or did not reach a test. */
async function vitest(project: string): Promise<Result> {
  const file = `out/test-${project}.json`
  mkdirSync('out', { recursive: true })
  rmSync(file, { force: true })
  const args = ['run', '--project', project, '--reporter=verbose', '--reporter=json', `--outputFile.json=${file}`]
  const code = await new Promise<number>((resolve) =>
    spawn('vitest', args, { stdio: 'inherit' }).once('close', (status) => resolve(status ?? 1)),
  )
  try {
    const { numPassedTests, numTotalTests } = JSON.parse(readFileSync(file, 'utf8')) as {
      numPassedTests: number
      numTotalTests: number
    }
    const failed = numTotalTests - numPassedTests
    return { passed: numPassedTests, failed: failed === 0 && code !== 0 ? 1 : failed }
  } catch {
    return { passed: 0, failed: 1 }
  }
}
