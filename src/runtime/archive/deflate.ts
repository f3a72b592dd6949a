import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { ContainerCodec } from '../../records/object-container.ts'

/** Avro's `deflate`: raw, without the header and checksum of zlib. What freshet writes is not compressed; what others write may be. */
export const deflate: ContainerCodec = {
  name: 'deflate',
  compress: (bytes) => deflateRawSync(bytes),
  expand: (bytes, bytesMax) => inflateRawSync(bytes, { maxOutputLength: Math.max(1, bytesMax) }),
}
