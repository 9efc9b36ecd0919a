// Keeps the memory of a run small.
import { setFlagsFromString } from 'node:v8'

/**
 * V8 lets the space for new objects grow to more than 100 MB before it removes garbage. Most of what a run reads is garbage at
 * once: a sample of a large cluster has 15 MB. This keeps that space at the size with which it starts.
 */
export function limitNewSpace(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
