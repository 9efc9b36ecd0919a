// A clock that stands still until a test moves it.
import { setImmediate as settle } from 'node:timers/promises'
import type { Clock } from '../../../../src/runtime/clock.ts'

type Sleeper = { at: number; wake: () => void }

export class ManualClock implements Clock {
  private ms = 0
  private sleepers: Sleeper[] = []

  now(): number {
    return this.ms
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.sleepers.push({ at: this.ms + ms, wake: resolve })
      signal?.addEventListener('abort', () => reject(signal.reason as Error))
    })
  }

  /** Wakes every sleeper that is due by then, each at its own time, and lets it run until it waits again. */
  async advance(ms: number): Promise<void> {
    const until = this.ms + ms
    await settle()
    for (let next = this.nextDue(until); next; next = this.nextDue(until)) {
      this.ms = next.at
      this.sleepers.splice(this.sleepers.indexOf(next), 1)
      next.wake()
      await settle()
    }
    this.ms = until
  }

  private nextDue(until: number): Sleeper | undefined {
    return this.sleepers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
  }
}
