// A part of the proof whose outcome is known before any request.
import type { Finding, Proof } from './types.ts'

export function settled(what: Proof['what'], finding: Finding): Proof {
  const answer = () => Promise.resolve(finding)
  return { what, look: answer, explain: answer }
}
