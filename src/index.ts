// The entry: main, or post when main has left its mark. Only here and in report/ is GitHub known.
import { getState } from '@actions/core'
import { main, post } from './action/github.ts'

await (getState('main') === '' ? main() : post())
// Kept-alive connections would hold the process for minutes.
process.exit()
