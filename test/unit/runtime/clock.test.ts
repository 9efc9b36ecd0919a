import { expect, test } from 'vitest'
import { systemClock } from '../../../src/runtime/clock.ts'

test('the system clock gives milliseconds since the epoch', () => {
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000)
})

test('sleep rejects with the reason of a signal that aborts', async () => {
  const controller = new AbortController()
  const sleeping = systemClock.sleep(60_000, controller.signal)
  controller.abort(new Error('the run was cancelled'))
  await expect(sleeping).rejects.toThrow('the run was cancelled')
  await expect(systemClock.sleep(0, controller.signal)).rejects.toThrow('the run was cancelled')
})

test.each([600, 24 * 365])(
  'a sleep of %i hours, longer than one timer can wait, does not end at once',
  async (hours) => {
    const controller = new AbortController()
    const sleeping = systemClock.sleep(hours * 3_600_000, controller.signal).then(() => 'awake')
    expect(await Promise.race([sleeping, systemClock.sleep(50).then(() => 'asleep')])).toBe('asleep')
    controller.abort(new Error('the run was cancelled'))
    await expect(sleeping).rejects.toThrow('the run was cancelled')
  },
)
