// A real Chromium that opens HTML reports, and what it notices meanwhile.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import axe from 'axe-core'
import { chromium, type Browser, type Page } from 'playwright-core'
import { buildPage } from '../../dev/build.ts'
import { htmlPage } from '../../src/report/html/page.ts'
import { readAssets, type Assets } from '../../src/report/html/assets.ts'
import type { Report } from '../../src/report/report.ts'
import type { SimulationReport } from '../../src/report/simulation-report.ts'
import { installChromium } from '../mesh/index.ts'

const program = '/usr/bin/chromium'
/** Where the pages and their pictures go. */
const folder = 'out/report'

/** `problems`: what the browser printed as an error. `requests`: what it loaded besides the page itself. */
export type OpenPage = { page: Page; problems: string[]; requests: string[] }

export type PageOptions = { width?: number; scheme?: 'light' | 'dark' }

export async function startBrowser(): Promise<{ browser: Browser; assets: Assets }> {
  if (!existsSync(program)) await installChromium()
  await buildPage('build/report-page')
  // A container has no user namespaces for Chromium's sandbox, and the pages are ours.
  const browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox'] })
  return { browser, assets: readAssets(resolve('build/report-page')) }
}

/** A report of a real run (test/fixtures/reports). */
export function reportOf(name: string): Report {
  return JSON.parse(readFileSync(`test/fixtures/reports/${name}.json`, 'utf8')) as Report
}

export async function open(
  { browser, assets }: Awaited<ReturnType<typeof startBrowser>>,
  name: string,
  report: Report | SimulationReport,
  { width = 1200, scheme = 'light' }: PageOptions = {},
): Promise<OpenPage> {
  mkdirSync(folder, { recursive: true })
  const file = resolve(folder, `${name}.html`)
  writeFileSync(file, htmlPage(report, assets))
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme })
  const [problems, requests]: [string[], string[]] = [[], []]
  page.on('console', (message) => void problems.push(`${message.type()}: ${message.text()}`))
  page.on('pageerror', (error) => void problems.push(error.message))
  page.on('dialog', (dialog) => {
    problems.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  const address = pathToFileURL(file).href
  page.on('request', (request) => {
    if (request.url() !== address) requests.push(request.url())
  })
  await page.goto(address)
  return { page, problems, requests }
}

/** Violations of WCAG 2.2 at level AA, each with the elements that it is about. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
  const { violations } = await page.evaluate<axe.AxeResults>(`axe.run({ runOnly: ${JSON.stringify(tags)} })`)
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)
}

export async function keepPicture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true })
}

/** How many pixels of a chart have about the colour that the page gives to what its line stands for. */
export function pixelsOf(page: Page, chart: string, role: string): Promise<number> {
  return page.evaluate<number>(`(() => {
    const figure = document.getElementById(${JSON.stringify(chart)})
    const canvas = figure.querySelector('canvas')
    const colour = getComputedStyle(figure).getPropertyValue('--${role}').trim()
    const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16))
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    let found = 0
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] > 200 && wanted.every((value, c) => Math.abs(data[i + c] - value) < 24)) found++
    return found
  })()`)
}
