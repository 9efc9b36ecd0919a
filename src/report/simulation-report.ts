// What a simulation of promotions showed, as plain data for the HTML report.
import type { Chances } from '../simulate/chances.ts'

/** `rate`: requests of users per second. `runs`: simulated promotions for each failure rate. */
export type Simulation = {
  service: string
  stable: string
  canary: string
  rate: number
  runs: number
  steps: number[]
  /** The share of its requests that stable fails, from 0 to 1. */
  stableFailing: number
  chances: Chances[]
  /** One sentence each: what is not simulated, and too little traffic. */
  notes: string[]
}

export type SimulationReport = { startedAt: string; namespace: string; simulations: Simulation[] }
