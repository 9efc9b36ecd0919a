// A part of the proof whose outcome is known before any request.
import type { Finding, Proof } from './types.ts'

export function knownInAdvance(what: Proof['what'], finding: Finding): Proof {
  const answer = () => Promise.resolve(finding)
  return { what, findArrival: answer, explainAbsence: answer }
}
