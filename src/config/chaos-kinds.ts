// The kinds of Chaos Mesh that an experiment can inject, apart from the schema: the guard needs them, and must stay small.

/** What Chaos Mesh can do to pods beside a sidecar. Its other kinds concern clouds, kernels, or an application's own code. */
export const chaosKinds = ['PodChaos', 'NetworkChaos', 'StressChaos', 'IOChaos', 'TimeChaos'] as const
export type ChaosKind = (typeof chaosKinds)[number]
