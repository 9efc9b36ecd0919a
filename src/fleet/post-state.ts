// Records what is left to do if a run over a fleet dies: for each cluster, and for the run itself.
import type { Config } from '../config/schema.ts'
import { recordPostState, type ClusterPostState, type PostHooks, type PostState } from '../post.ts'

type ClusterHooks = Omit<PostHooks, 'onCancel' | 'onKindCluster'>

/** The same for a run over a fleet as well. `inCluster`: the callbacks for one of its clusters. */
export function recordFleetPostState(
  config: Config,
  save: (state: PostState) => void,
): PostHooks & { inCluster: (name: string, config: Config) => ClusterHooks } {
  let own: PostState = {}
  const clusters: Record<string, ClusterPostState> = {}
  const saveAll = () => save(Object.keys(clusters).length === 0 ? own : { ...own, clusters })
  const cancels: (() => void)[] = []
  const hooks = recordPostState(config, (state) => {
    own = state
    saveAll()
  })
  return {
    ...hooks,
    onCancel: () => [hooks.onCancel, ...cancels].forEach((cancel) => cancel()),
    inCluster: (name, member) => {
      const { onCancel, ...rest } = recordPostState(member, (state) => {
        clusters[name] = state
        saveAll()
      })
      cancels.push(onCancel)
      return rest
    },
  }
}
