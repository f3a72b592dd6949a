import { createHash } from 'node:crypto'

export interface Script {
  readonly source: string
  readonly sha1: string
}

function script(source: string): Script {
  return { source, sha1: createHash('sha1').update(source).digest('hex') }
}

/**
 * KEYS: [1] sentinel, [2..] values. ARGV: [1] '1' to require the sentinel, [2..] new values.
 * Every value starts with its source offset as a little-endian double. Doubles are compared as numbers: comparing them as
 * Lua strings would depend on the locale. Returns how many were written, or -1 where the required sentinel is missing.
 */
export const writeScript = script(`
if ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local written = 0
for i = 2, #KEYS do
  local stored = redis.call('GETRANGE', KEYS[i], 0, 7)
  if #stored < 8 or struct.unpack('<d', stored) <= struct.unpack('<d', ARGV[i]) then
    redis.call('SET', KEYS[i], ARGV[i])
    written = written + 1
  end
end
return written
`)

/**
 * KEYS: [1] sentinel, [2] loading mark. ARGV: [1] run id, [2] sentinel value.
 * A load that was emptied half-way must not be declared whole: the mark it began with is then gone too.
 */
export const sentinelScript = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
`)
