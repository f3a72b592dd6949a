const magic = 0xfd2fb528
const dictionaryBytes = [0, 1, 2, 4] as const

/**
 * How many bytes a zstd frame (RFC 8878, section 3.1.1.1) says it will become, so that one that would fill the memory is refused
 * before it is decompressed. null: it does not say, or it is no zstd frame.
 */
export function zstdContentBytes(frame: Uint8Array): number | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.byteLength < 6 || view.getUint32(0, true) !== magic) return null
  const descriptor = view.getUint8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes[descriptor & 3]!
  const sizeFlag = descriptor >> 6
  const bytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag
  if (bytes === 0 || at + bytes > view.byteLength) return null
  switch (bytes) {
    case 1:
      return view.getUint8(at)
    case 2:
      return view.getUint16(at, true) + 256
    case 4:
      return view.getUint32(at, true)
    default:
      return Number(view.getBigUint64(at, true))
  }
}
