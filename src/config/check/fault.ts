// A contradiction between keys: which key it is reported at, and a sentence that says what to do.
export type Fault = { path: string[]; message: string }

/** Turns paths that are relative to a section into paths from the root. */
export function withPrefix(prefix: string[], faults: readonly Fault[]): Fault[] {
  return faults.map((fault) => ({ ...fault, path: [...prefix, ...fault.path] }))
}
