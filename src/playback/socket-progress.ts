import type { Socket } from 'node:net'

interface WriteCounts { bytesWritten: number, writeQueueSize: number }

/**
 * Returns how many bytes the kernel has taken of a socket, and whether more are waiting. The public counters know only
 * whole writes, of up to 4 MiB here. Node's own socket timeout (`_onTimeout` in lib/net.js) reads the handle alike.
 */
export function socketProgress (socket: Socket | null): { takenBytes: number, isPending: boolean } {
  if (socket === null) return { takenBytes: 0, isPending: false }
  const { _handle: handle } = socket as Socket & { _handle?: unknown }
  if (isCounting(handle)) {
    return { takenBytes: handle.bytesWritten - handle.writeQueueSize, isPending: socket.writableLength > 0 }
  }
  return { takenBytes: (socket.bytesWritten ?? 0) - (socket.writableLength ?? 0), isPending: socket.writableLength > 0 }
}

function isCounting (handle: unknown): handle is WriteCounts {
  const { bytesWritten, writeQueueSize } = (handle ?? {}) as Partial<WriteCounts>
  return typeof bytesWritten === 'number' && typeof writeQueueSize === 'number'
}
