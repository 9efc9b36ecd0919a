// A connection to a port of a pod through the API server: what `kubectl port-forward` does, without the listening.
import { Duplex, PassThrough } from 'node:stream'
import { PortForward } from '@kubernetes/client-node'
import type { Connection } from './connect.ts'

/** The methods of a socket that an HTTP agent calls and a stream lacks. */
const socketLike = { setKeepAlive: () => undefined, setNoDelay: () => undefined, setTimeout: () => undefined, ref: () => undefined, unref: () => undefined }

/** Rejects when the API server refuses it; the stream ends when the pod, or the API server, ends it. */
export async function forward({ config }: Connection, namespace: string, pod: string, port: number): Promise<Duplex> {
  const [fromPod, toPod, errors] = [new PassThrough(), new PassThrough(), new PassThrough()]
  // Without retries it answers its socket, whose type is that of a library that is not ours to install.
  const socket = (await new PortForward(config).portForward(namespace, pod, [port], fromPod, errors, toPod)) as { onclose: () => void; close: () => void }
  socket.onclose = () => fromPod.end()
  const stream = Duplex.from({ writable: toPod, readable: fromPod })
  errors.once('data', (text: Buffer) => stream.destroy(new Error(text.toString().trim())))
  stream.once('close', () => socket.close())
  return Object.assign(stream, socketLike)
}
