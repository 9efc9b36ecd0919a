import { createCoordinator } from '../../../src/fleet/coordinator.ts'

/** Two clusters, `eu` in wave 1. */
export function twoClusters(usWave: number) {
  const controller = new AbortController()
  const clusters = [
    { name: 'eu', wave: 1 },
    { name: 'us', wave: usWave },
  ]
  const members = createCoordinator(clusters, controller.signal)
  return { of: (name: string) => members.get(name)!, controller }
}
