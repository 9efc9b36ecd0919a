// Simulates the cells that it receives, one after the other, on its own processor core.
import { parentPort } from 'node:worker_threads'
import { simulate, type Cell } from './cells.ts'

parentPort!.on('message', (cell: Cell) => parentPort!.postMessage(simulate(cell)))
