// Hooks that have to be waited for: asked in the background and again, until they say yes.
import { messageOf } from '../../runtime/errors.ts'
import type { Finding, Gate } from './finding.ts'
import { monotonicNow } from '../../runtime/clock.ts'

export type Gates = { answers: (due: Gate[]) => Partial<Record<Gate, Finding>> }

const pauseMs = 5_000

/** `answers` begins to ask those due that are not being asked and were not asked just now, and gives what each answered last. */
export function createGates(ask: (gate: Gate) => Promise<Finding>): Gates {
  const latest: Partial<Record<Gate, Finding>> = {}
  const asking = new Set<Gate>()

  function begin(gate: Gate): void {
    asking.add(gate)
    void ask(gate)
      .catch(
        (error: unknown): Finding => ({ name: gate, state: 'undecided', text: messageOf(error), at: monotonicNow() }),
      )
      .then((finding) => {
        latest[gate] = finding
        asking.delete(gate)
      })
  }

  return {
    answers(due) {
      due
        .filter((gate) => !asking.has(gate) && monotonicNow() - (latest[gate]?.at ?? -Infinity) >= pauseMs)
        .forEach(begin)
      return Object.fromEntries(due.flatMap((gate) => (latest[gate] ? [[gate, latest[gate]]] : [])))
    },
  }
}
