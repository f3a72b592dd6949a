/** The partition of a user, everywhere. */
export function partitionOf(userId: string, partitions: number): number {
  return partitionOfKey(userId, partitions)
}

/**
 * Murmur2 of the bytes, made positive, modulo the partitions: where Kafka's Java client puts a record with that key
 * (`Utils.murmur2`, `Utils.toPositive`).
 */
export function partitionOfKey(key: string | Uint8Array, partitions: number): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key
  return (murmur2(bytes) & 0x7fffffff) % partitions
}

const multiplier = 0x5bd1e995

/** Murmur2, 32 bits, with Kafka's seed; a signed integer. */
export function murmur2(bytes: Uint8Array): number {
  const words = bytes.length >> 2
  let hash = 0x9747b28c ^ bytes.length
  for (let word = 0; word < words; word++) {
    const at = word * 4
    let k = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    k = Math.imul(k, multiplier)
    k = Math.imul(k ^ (k >>> 24), multiplier)
    hash = Math.imul(hash, multiplier) ^ k
  }
  const tail = words * 4
  const rest = bytes.length - tail
  if (rest >= 3) hash ^= bytes[tail + 2]! << 16
  if (rest >= 2) hash ^= bytes[tail + 1]! << 8
  if (rest >= 1) hash = Math.imul(hash ^ bytes[tail]!, multiplier)
  hash = Math.imul(hash ^ (hash >>> 13), multiplier)
  return hash ^ (hash >>> 15)
}
