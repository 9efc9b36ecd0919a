// The entry of the action, for its main and its post step.
import { exitOnDefect } from './runtime/defect.ts'
import { limitNewSpace } from './runtime/memory.ts'

exitOnDefect('annotation')
limitNewSpace()
// A dynamic import, so that an exception at import time is reported as well.
const { action } = await import('./action/github.ts')
await action()
// Kept-alive connections would hold the process for minutes; what is logged goes out first, also to a slow runner.
process.stdout.write('', () => process.exit())
