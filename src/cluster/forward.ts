// A connection to a port of a pod through the API server: what `kubectl port-forward` does, without the listening.
import { Duplex, PassThrough } from 'node:stream'
// Not the library's PortForward: that one also resolves Services, by the generated calls of every kind that there is
// (2 MB of bundle).
import { WebSocketHandler } from '@kubernetes/client-node/dist/web-socket-handler.js'
import type { Connection } from './connect.ts'

/** Opens a connection to a port of a pod. */
export type Forward = (namespace: string, pod: string, port: number) => Promise<Duplex>

/** The methods of a socket that an HTTP agent calls and a stream lacks. */
const socketLike = {
  setKeepAlive: () => undefined,
  setNoDelay: () => undefined,
  setTimeout: () => undefined,
  ref: () => undefined,
  unref: () => undefined,
}

/** The channels of one forwarded port; each starts with two bytes, the port's number. */
const [dataChannel, errorChannel] = [0, 1]
const portBytes = 2

/** Rejects when the API server refuses it; the stream ends when the pod, or the API server, ends it. */
export async function forward({ config }: Connection, namespace: string, pod: string, port: number): Promise<Duplex> {
  const [fromPod, toPod] = [new PassThrough(), new PassThrough()]
  const stream = Duplex.from({ writable: toPod, readable: fromPod })
  const started = new Set<number>()
  const connected = (await new WebSocketHandler(config).connect(
    `/api/v1/namespaces/${namespace}/pods/${pod}/portforward?ports=${port}`,
    null,
    (channel, bytes) => {
      const payload = started.has(channel) ? bytes : bytes.subarray(portBytes)
      started.add(channel)
      if (channel === dataChannel) fromPod.write(payload)
      else if (channel === errorChannel && payload.length > 0) stream.destroy(new Error(payload.toString().trim()))
      return true
    },
  )) as unknown
  // The type of the socket is that of a library that is not ours to install.
  const socket = connected as { onclose: () => void; close: () => void }
  WebSocketHandler.handleStandardInput(connected, toPod, dataChannel)
  socket.onclose = () => fromPod.end()
  stream.once('close', () => socket.close())
  return Object.assign(stream, socketLike)
}
