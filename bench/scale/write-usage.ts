// Loaded before a program (`node --import`): writes what it costs to the file SCALE_USAGE when it ends.
import { writeFileSync } from 'node:fs'
import { activities, usage } from './usage.ts'

const file = process.env['SCALE_USAGE']!
process.once('exit', () => writeFileSync(file, JSON.stringify({ usage: usage(), activities })))
