// What a query, a command or a webhook answered about the canary.

/** `undecided` is no evidence. `text` gives the reason. */
export type CheckAnswer = { state: 'pass' | 'fail' | 'undecided'; text: string }

/** The latest answer of a check. `at`: milliseconds since the epoch, on the run's clock. */
export type Finding = CheckAnswer & { name: string; at: number }

/** The kinds of webhooks that decide how a promotion continues; several webhooks of one kind count as one gate. */
export type Gate = 'confirm-rollout' | 'pre-rollout' | 'confirm-promotion' | 'rollback'
