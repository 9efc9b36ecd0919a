import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { publish } from '../../../src/action/publish.ts'
import { emptyReport, type Report } from '../../../src/report/report.ts'
import { tempFolder } from '../fixtures.ts'

const report: Report = {
  ...emptyReport('shop', new Date(0), false),
  outcome: 'failure',
  verdict: 'rolled-back',
  weight: 0,
  reason: 'too many errors',
  error: 'the canary of backend was not promoted (rolled-back): too many errors',
}
let folder: string
let printed: string

/** What a runner finds after the step: outputs, summary and report, as far as they exist. */
async function published(reportFile: string, summaryFile = join(folder, 'summary.md')) {
  const outputFile = join(folder, 'outputs')
  writeFileSync(outputFile, '')
  vi.stubEnv('GITHUB_OUTPUT', outputFile)
  vi.stubEnv('GITHUB_STEP_SUMMARY', summaryFile)
  const files = await publish(report, reportFile)
  const read = (file: string) => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return ''
    }
  }
  return { files, outputs: read(outputFile), summary: read(summaryFile), report: read(reportFile) }
}

beforeEach(() => {
  folder = tempFolder()
  printed = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  process.exitCode = 0
})

describe('the results of a run on GitHub', () => {
  test('are outputs, summary and report, whose folder is created', async () => {
    const file = join(folder, 'reports/today/mesh.json')
    const { outputs, summary, report: json } = await published(file)
    expect(outputs).toContain('rolled-back')
    expect(outputs).toContain(file)
    expect(summary).toContain('**rolled back**')
    expect(JSON.parse(json)).toMatchObject({ verdict: 'rolled-back' })
  })

  test.each<[string, () => string]>([
    ['below a file', () => join(folder, 'a-file/report.json')],
    ['of a folder', () => join(folder, 'a-folder')],
    ['that the system does not allow', () => `${join(folder, 'x'.repeat(300))}.json`],
  ])('lose nothing but the report when its path is one %s', async (_, path) => {
    writeFileSync(join(folder, 'a-file'), '')
    mkdirSync(join(folder, 'a-folder'))
    const { files, outputs, summary } = await published(path())
    expect(files.json).toBeUndefined()
    expect(outputs).toContain('rolled-back')
    expect(outputs).not.toContain(path())
    expect(summary).toContain('**rolled back**')
    expect(printed).toMatch(/::error title=Report::report: .* cannot be written \(\w+\); choose a path/)
    expect(printed).toContain('::error title=Failed::the canary of backend was not promoted')
    expect(process.exitCode).toBe(1)
  })

  test('lose nothing but the summary when that cannot be written', async () => {
    const { outputs, report: json } = await published(join(folder, 'report.json'), folder)
    expect(outputs).toContain('rolled-back')
    expect(json).toContain('rolled-back')
    expect(printed).toMatch(/::warning title=Summary::the job summary .* cannot be written \(EISDIR\)/)
    expect(printed).toContain('was not promoted')
  })

  test('lose nothing but the HTML report when that cannot be written, and do not fail for it', async () => {
    const before = process.exitCode
    vi.stubEnv('GITHUB_OUTPUT', join(folder, 'outputs'))
    writeFileSync(join(folder, 'outputs'), '')
    await publish({ ...emptyReport('shop', new Date(0), false) }, join(folder, 'report.json'), '/dev/null/report.html')
    expect(printed).toMatch(/::warning title=Report::the HTML report /)
    expect(readFileSync(join(folder, 'outputs'), 'utf8')).not.toContain('html-report')
    expect(existsSync(join(folder, 'report.json'))).toBe(true)
    expect(process.exitCode).toBe(before)
  })

  test('lose nothing but the outputs when the runner has removed their file', async () => {
    vi.stubEnv('GITHUB_OUTPUT', join(folder, 'gone'))
    vi.stubEnv('GITHUB_STEP_SUMMARY', join(folder, 'summary.md'))
    await publish(report, join(folder, 'report.json'))
    expect(printed).toContain('::error title=Outputs::the output verdict cannot be set')
    expect(existsSync(join(folder, 'summary.md'))).toBe(true)
    expect(existsSync(join(folder, 'report.json'))).toBe(true)
  })
})
