import type { Socket } from 'node:net'

interface WriteCounts { bytesWritten: number, writeQueueSize: number }

/**
 * Returns the number of bytes of a socket that the kernel has accepted, and whether more bytes are pending. The public
 * counters change only after whole writes, of up to 4 MiB here. Node's own socket timeout (`_onTimeout` in lib/net.js)
 * reads the handle in the same way.
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
