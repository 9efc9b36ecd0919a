// Simulates the cells it is sent, one after the other, on a processor of its own.
import { parentPort } from 'node:worker_threads'
import { simulate, type Cell } from './cells.ts'

parentPort!.on('message', (cell: Cell) => parentPort!.postMessage(simulate(cell)))
