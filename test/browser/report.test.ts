// The HTML report in a real browser. The reports are of real runs (test/fixtures/reports); the pages and their pictures
// stay in out/report/.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { chancesOf, stableFailing } from '../../src/simulate/chances.ts'
import type { PromotionReport, Report } from '../../src/report/report.ts'
import type { SimulationReport } from '../../src/report/simulation-report.ts'
import { evidenceText } from '../../src/statistics/evidence.ts'
import { planOf } from '../unit/fixtures.ts'
import {
  keepPicture,
  open,
  pixelsOf,
  reportOf,
  startBrowser,
  violations,
  type OpenPage,
  type PageOptions,
} from './browser.ts'

let started: Awaited<ReturnType<typeof startBrowser>>
beforeAll(async () => {
  started = await startBrowser()
})
afterAll(() => started.browser.close())

async function show(name: string, report: Report | SimulationReport, options?: PageOptions): Promise<OpenPage> {
  const opened = await open(started, name, report, options)
  onTestFinished(() => opened.page.close())
  return opened
}

/** What the real run changed, as a plan of it. */
function planned(): Report {
  const { verdict: _, weight: __, reason: ___, ...rest } = reportOf('promoted')
  return { ...rest, dryRun: true, promotions: [], changes: [], restarted: [] }
}

/** A controller that moves the weights leaves no samples. The numbers are of a real promotion of this program. */
function followed(): Report {
  const report = reportOf('promoted')
  const [{ timeline: _, ...promotion }] = report.promotions as [PromotionReport]
  return { ...report, promotions: [{ ...promotion, engineVerdict: 'promoted' }] }
}

/** Real promotions under other names, as a platform team releases them together. */
function manyServices(): Report {
  const real = [...reportOf('several').promotions, ...reportOf('promoted').promotions]
  const promotions = Array.from({ length: 12 }, (_, i) => ({ ...real[i % real.length]!, service: `service-${i + 1}` }))
  return { ...reportOf('several'), promotions }
}

const evil = `</script><script>window.pwned=1</script>--><img src=x onerror="window.pwned=2"><!--\u2028\u202e'"\`\${1}&lt;`

/** The same text wherever a cluster's owner could put it. */
function malicious(): Report {
  const report = reportOf('rolled-back')
  const [promotion] = report.promotions
  const diagnosis = [{ pod: evil, container: evil, cause: evil, log: [evil, evil], events: [evil] }]
  return {
    ...report,
    namespace: evil,
    reason: evil,
    error: evil,
    warnings: [evil],
    promotions: [{ ...promotion!, service: evil, canary: evil, stable: evil, reason: evil, diagnosis }],
    pods: [{ name: evil, ready: '1/2', sidecar: 'native', ok: false, restarts: 1, cause: evil }],
    plan: [{ action: 'change', kind: evil, namespace: evil, name: evil, diff: [`+ ${evil}`, `- ${evil}`] }],
    changes: [{ action: 'changed', kind: evil, namespace: evil, name: evil }],
    stages: [{ name: evil, seconds: 1, outcome: 'failed' }],
  }
}

function simulation(): SimulationReport {
  const plan = planOf('steps: [25, 100], interval: 20s')
  const chances = chancesOf(plan, 20, 20)
  const of = { service: 'backend', stable: 'v1', canary: 'v2', rate: 20, runs: 20, steps: plan.steps }
  const simulations = [{ ...of, stableFailing: stableFailing(plan), chances, notes: ['not simulated: smoke'] }]
  return { startedAt: '2026-11-30T04:00:00.000Z', namespace: 'shop', simulations }
}

const pages: [name: string, report: () => Report | SimulationReport, sentence: string][] = [
  ['promoted', () => reportOf('promoted'), 'canary of backend was promoted, and stable runs it now'],
  ['rolled-back', () => reportOf('rolled-back'), 'canary of backend was rolled back'],
  ['inconclusive', () => reportOf('inconclusive'), 'v2 of backend ended without a decision, at 0%'],
  ['several', () => reportOf('several'), 'v2 of reviews was rolled back (of 2 canaries: 2 rolled back)'],
  ['many-services', manyServices, 'v2 of service-2 was rolled back (of 12 canaries: 8 rolled back, 4 promoted)'],
  ['malicious', malicious, 'window.pwned=1'],
  ['experiment', () => reportOf('experiment'), 'The experiment trial on front: fragile'],
  ['followed', followed, 'canary of backend was promoted'],
  ['plan', planned, 'objects would change'],
  ['simulation', simulation, 'The chances of v2 of backend'],
]

describe.each(pages)('the page %s', (name, report, sentence) => {
  test('says in its first sentence what happened, and loads and runs nothing else', async () => {
    const { page, problems, requests } = await show(name, report())
    expect(await page.locator('h1').textContent()).toContain(sentence)
    expect(await page.evaluate('window.pwned')).toBeUndefined()
    expect(await page.locator('script').count()).toBe(2)
    expect(await page.locator('img, svg, iframe, link').count()).toBe(0)
    expect({ problems, requests }).toEqual({ problems: [], requests: [] })
  })

  test('breaks no rule of accessibility: light, dark, and 360 pixels wide', async () => {
    const { page } = await show(name, report())
    await keepPicture(page, name)
    // Those of one promotion: axe takes minutes for the tables of a dozen.
    for (const summary of (await page.locator('figure summary').all()).slice(0, 8)) await summary.click()
    expect(await violations(page)).toEqual([])
    await page.emulateMedia({ colorScheme: 'dark' })
    expect(await violations(page)).toEqual([])
    await page.setViewportSize({ width: 360, height: 800 })
    await keepPicture(page, `${name}-360`)
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    expect(await violations(page)).toEqual([])
  })
})

test('a page of many services has an overview that leads to each of them', async () => {
  const { page } = await show('many-services', manyServices())
  const links = page.locator('section[aria-labelledby=overview] a')
  expect(await links.count()).toBe(12)
  await links.nth(7).click()
  expect(await page.evaluate('location.hash')).toBe('#promotion-7')
  expect(await page.locator('#promotion-7').textContent()).toContain('service-8')
})

describe('the charts of a promotion', () => {
  const report = () => reportOf('promoted')
  const timeline = () => report().promotions[0]!.timeline!

  test('are drawn in the colours of what they show', async () => {
    const { page } = await show('promoted', report())
    // Weight and share, requests, success.
    for (const [chart, roles] of [
      ['p0-0', ['canary', 'asked']],
      ['p0-1', ['canary', 'stable']],
      ['p0-2', ['canary']],
      ['p0-3', ['against', 'for']],
      ['p0-latency', ['canary', 'stable']],
    ] as const)
      for (const role of roles)
        expect([chart, role, await pixelsOf(page, chart, role)], `${chart} ${role}`).toEqual([
          chart,
          role,
          expect.toSatisfy((pixels: number) => pixels > 60),
        ])
  })

  test('show the values of the report under the pointer, in all charts at once', async () => {
    const { page } = await show('promoted', report())
    const over = page.locator('#p0-0 .u-over')
    const { width = 0 } = (await over.boundingBox()) ?? {}
    await over.hover({ position: { x: width - 2, y: 30 } })
    const legend = async (chart: string) => (await page.locator(`#${chart} .legend`).textContent()) ?? ''
    expect(await legend('p0-0')).toContain(`weight of canary ${timeline().weight.at(-1)}%`)
    const { fail, pass } = timeline().evidence['success rate']!
    expect(await legend('p0-3')).toContain(`against the canary ${evidenceText(fail.at(-1)!)}`)
    expect(await legend('p0-3')).toContain(`for the canary ${evidenceText(pass.at(-1)!)}`)
  })

  test('are read with the keyboard alone, and a screen reader hears the values', async () => {
    const { page } = await show('promoted', report())
    await page.locator('#p0-1 .plot').focus()
    for (const key of ['End', 'ArrowLeft', 'ArrowLeft', 'ArrowRight']) await page.keyboard.press(key)
    const at = timeline().seconds.at(-2)!
    expect(await page.locator('#live').textContent()).toContain(`${Number(at.toFixed(1))} s`)
    expect(await page.locator('#live').textContent()).toMatch(/^canary [\d.]+\/s, stable [\d.]+\/s, /)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await expect.poll(() => page.locator('#p0-1 table tr').count()).toBe(timeline().seconds.length + 1)
  })

  test('have tables with every value', async () => {
    const { page } = await show('promoted', report())
    await page.locator('#p0-0 summary').click()
    const cells = () => page.locator('#p0-0 table td:nth-child(2)').allTextContents()
    await expect.poll(cells).toEqual(timeline().weight.map((weight) => `${weight}%`))
  })

  test('are light on paper, whatever the screen is', async () => {
    const { page } = await show('promoted', report(), { scheme: 'dark' })
    const colour = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    expect(await colour()).toBe('rgb(13, 17, 23)')
    await page.emulateMedia({ media: 'print' })
    expect(await colour()).toBe('rgb(255, 255, 255)')
    await expect.poll(() => pixelsOf(page, 'p0-1', 'canary')).toBeGreaterThan(60)
    await keepPicture(page, 'promoted-print')
  })

  test('follow the width of the window', async () => {
    const { page } = await show('promoted', report())
    await page.setViewportSize({ width: 500, height: 900 })
    await expect.poll(() => page.evaluate('document.querySelector("canvas").clientWidth')).toBeLessThan(480)
    expect(await pixelsOf(page, 'p0-0', 'canary')).toBeGreaterThan(60)
  })
})

test('the observed share follows the weight, as the report counted it', async () => {
  const { page } = await show('promoted', reportOf('promoted'))
  await page.locator('#p0-0 summary').click()
  const [shares = '0%'] = (await page.locator('#p0-0 table td:nth-child(3)').allTextContents()).slice(-1)
  expect(parseFloat(shares)).toBeGreaterThan(80)
})

test('text that could be markup is shown as it is', async () => {
  const { page } = await show('malicious', malicious())
  const text = (await page.locator('pre').first().textContent()) ?? ''
  expect(text).toContain('</script><script>window.pwned=1</script>--><img src=x onerror=')
  // What would turn the text around is shown by its number.
  expect(text).toContain('\\u{2028}\\u{202e}')
  expect(await page.locator('figure').count()).toBeGreaterThan(3)
  expect(await page.locator('.legend').first().textContent()).toContain('<script>window.pwned=1</script>')
})

test('a promotion of hours is a page of less than 400 kB', async () => {
  const report = reportOf('promoted')
  const [promotion] = report.promotions
  const long = repeated(promotion!, 10)
  const { page, problems } = await show('long', { ...report, promotions: [long] })
  expect((await page.content()).length).toBeLessThan(400_000)
  expect(await pixelsOf(page, 'p0-0', 'canary')).toBeGreaterThan(60)
  expect(problems).toEqual([])
})

/** The same promotion so many times in a row, until its timeline has as many samples as a report may have. */
function repeated(promotion: PromotionReport, times: number): PromotionReport {
  const { timeline } = promotion
  const { seconds } = timeline!
  const span = seconds.at(-1)!
  const again = <T>(list: T[]) => Array.from({ length: times }, () => list).flat()
  const tallies = ({ requests, failures }: { requests: number[]; failures: number[] }) => ({
    requests: again(requests),
    failures: again(failures),
  })
  return {
    ...promotion,
    timeline: {
      seconds: Array.from({ length: times }, (_, i) => seconds.map((each) => each + i * span)).flat(),
      lasted: again(timeline!.lasted),
      step: again(timeline!.step),
      weight: again(timeline!.weight),
      canary: tallies(timeline!.canary),
      stable: tallies(timeline!.stable),
      users: tallies(timeline!.users),
      evidence: Object.fromEntries(
        Object.entries(timeline!.evidence).map(([check, { fail, pass }]) => [
          check,
          { fail: again(fail), pass: again(pass) },
        ]),
      ),
    },
  }
}

test('the page of a rollout that a controller moved has its verdict, and the latencies that this run counted', async () => {
  const { page } = await show('followed', followed())
  expect(await page.locator('dl').first().textContent()).toContain('verdict of the controllerpromoted')
  expect(await page.locator('figure').count()).toBe(1)
})
