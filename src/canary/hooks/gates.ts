// Calls the hooks that a promotion must wait for, in the background, until they pass.
import { systemClock, type Clock } from '../../runtime/clock.ts'
import { messageOf } from '../../runtime/errors.ts'
import type { Finding, Gate } from '../state/finding.ts'

export type Gates = {
  /** Returns the last answer of each due gate, and calls those whose last answer is old. */
  answers: (due: Gate[]) => Partial<Record<Gate, Finding>>
}

const askAgainMs = 5_000

export function createGates(ask: (gate: Gate) => Promise<Finding>, clock: Clock = systemClock): Gates {
  const latest: Partial<Record<Gate, Finding>> = {}
  const asking = new Set<Gate>()

  async function askGate(gate: Gate): Promise<void> {
    asking.add(gate)
    latest[gate] = await ask(gate).catch((error: unknown) => unanswered(gate, error))
    asking.delete(gate)
  }

  function unanswered(gate: Gate, error: unknown): Finding {
    return { name: gate, state: 'undecided', text: messageOf(error), at: clock.now() }
  }

  function isOld(gate: Gate): boolean {
    return clock.now() - (latest[gate]?.at ?? -Infinity) >= askAgainMs
  }

  return {
    answers(due) {
      due.filter((gate) => !asking.has(gate) && isOld(gate)).forEach((gate) => void askGate(gate))
      return Object.fromEntries(due.flatMap((gate) => (latest[gate] ? [[gate, latest[gate]]] : [])))
    },
  }
}
