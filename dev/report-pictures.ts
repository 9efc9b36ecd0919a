// `node dev/report-pictures.ts`: photographs the HTML reports of real runs (test/fixtures/reports) for docs/html-report.md.
import { open, reportOf, startBrowser } from '../test/browser/browser.ts'

const shown = { width: 1000, height: 1180 }
const started = await startBrowser()
for (const name of ['promoted', 'rolled-back']) {
  const { page } = await open(started, name, reportOf(name), { width: shown.width })
  await page.setViewportSize(shown)
  await page.screenshot({ path: `docs/report-${name}.png` })
  await page.close()
}
await started.browser.close()
