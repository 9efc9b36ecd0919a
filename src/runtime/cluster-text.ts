// How lines for people name the cluster of a fleet. A run in one cluster names none. Pure.

/** Before a line: `eu: it was promoted`. */
export function withCluster(cluster: string | undefined, text: string): string {
  return cluster === undefined ? text : `${cluster}: ${text}`
}

/** After a name: `v2 of backend in eu`. */
export function inCluster(name: string, cluster: string | undefined): string {
  return cluster === undefined ? name : `${name} in ${cluster}`
}
