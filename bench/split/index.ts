// Measures whether the traffic splits as the weights say: each step has at least 5,000 requests, and the canary's share
// must be within its 99% interval. One of 100 correct steps is outside by chance.
import { setUpBench, expectVerdict, table } from '../mesh/index.ts'

export async function bench(): Promise<{ table: string; result: object }> {
  const mesh = await setUpBench('healthy', { rps: 200, keepAlive: true })
  const { result: run } = await mesh.watch(() =>
    mesh.act({ stages: 'promote', steps: '5, 25, 50, 75, 100', interval: '27s' }),
  )
  expectVerdict(run, 'promoted')
  await mesh.end()
  const steps = run.report!.promotions[0]!.steps.map(({ weight, canary, stable, split }) => ({
    weight,
    requests: canary.requests + stable.requests,
    ...split!,
  }))
  const short = steps.filter(({ requests }) => requests < 5_000)
  if (short.length > 0)
    throw new Error(`the steps at ${short.map(({ weight }) => weight).join(', ')} saw fewer than 5,000 requests`)
  const stepsOutside99 = steps.filter(({ fits }) => !fits).length
  return {
    table: `${table(
      ['weight', 'requests', 'observed %', '99% interval', 'fits'],
      steps.map((step) => [
        `${step.weight}`,
        `${step.requests}`,
        step.observed.toFixed(2),
        `${step.low.toFixed(2)}–${step.high.toFixed(2)}`,
        step.fits ? 'yes' : 'no',
      ]),
    )}\nsteps outside: ${stepsOutside99}`,
    result: { stepsOutside99, steps },
  }
}
