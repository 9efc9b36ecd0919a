// A contradiction between keys: which key it is reported at, and a sentence that says what to do.
export type Fault = { path: string[]; message: string }

/** The faults of a section, with paths from the root. */
export function below(path: string[], faults: readonly Fault[]): Fault[] {
  return faults.map((fault) => ({ ...fault, path: [...path, ...fault.path] }))
}
