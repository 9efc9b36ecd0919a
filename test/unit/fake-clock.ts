// A clock whose time passes only when somebody sleeps, so that a wait of minutes takes no time.
import type { Clock } from '../../src/runtime/clock.ts'

const longestMs = 3_600_000

export class FakeClock implements Clock {
  /** Milliseconds. A test may set it. */
  time = 0
  /** Runs after each sleep, before the sleeper continues. */
  afterSleep: () => void = () => undefined

  readonly now = (): number => this.time

  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return Promise.reject(signal.reason as Error)
    this.time += ms
    this.afterSleep()
    return this.time > longestMs ? Promise.reject(new Error('the wait never ends')) : Promise.resolve()
  }
}
