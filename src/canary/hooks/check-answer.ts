// What a query, a command or a webhook answers about the canary.
import type { Finding } from '../state/types.ts'

/** `undecided` counts neither for nor against the canary. `text` gives the reason. */
export type CheckAnswer = Pick<Finding, 'state' | 'text'>
