// How a cancelled run hears of it.

/** Aborts on the first of these signals; `onSignal` is called on each of them, before the abort. */
export function abortOnSignals(signals: NodeJS.Signals[], onSignal: (signal: NodeJS.Signals) => void): AbortSignal {
  const controller = new AbortController()
  for (const signal of signals) {
    process.on(signal, () => {
      onSignal(signal)
      controller.abort(new Error('the run was cancelled'))
    })
  }
  return controller.signal
}
