import { createHash } from 'node:crypto'

export interface Script {
  readonly source: string
  readonly sha1: string
}

function script(source: string): Script {
  return { source, sha1: createHash('sha1').update(source).digest('hex') }
}

/**
 * KEYS: [1] guard (sentinel or loading mark), [2] learned-through, [3..] values.
 * ARGV: [1] run id, [2] acknowledged offset, [3..] new values.
 * An empty value removes its key. Every other value starts with its source offset as a little-endian double. Doubles are compared as numbers: comparing them as
 * Lua strings would depend on the locale. Returns how many were written, or -1 where the guard is not this run's or the
 * store has lost what it acknowledged: a replica that took over, or a file that was read again, may lack the last writes.
 */
export const writeScript = script(`
local guard = redis.call('GET', KEYS[1])
if not guard or cjson.decode(guard).runId ~= ARGV[1] then return -1 end
local function stored(key)
  local head = redis.call('GETRANGE', key, 0, 7)
  return #head == 8 and struct.unpack('<d', head) or -math.huge
end
if stored(KEYS[2]) < struct.unpack('<d', ARGV[2]) then return -1 end
local written = 0
for i = 3, #KEYS do
  if #ARGV[i] == 0 then
    redis.call('DEL', KEYS[i])
  elseif stored(KEYS[i]) <= struct.unpack('<d', ARGV[i]) then
    redis.call('SET', KEYS[i], ARGV[i])
    written = written + 1
  end
end
return written
`)

/** KEYS: [1] sentinel, [2] learned-through. ARGV: [1] run id, [2] acknowledged offset. Returns 1 when it is now this run's. */
export const claimScript = script(`
local sentinel = redis.call('GET', KEYS[1])
if not sentinel then return 0 end
local head = redis.call('GETRANGE', KEYS[2], 0, 7)
local offset = #head == 8 and struct.unpack('<d', head) or -math.huge
if offset < struct.unpack('<d', ARGV[2]) then return 0 end
local claimed = cjson.decode(sentinel)
claimed.runId = ARGV[1]
redis.call('SET', KEYS[1], cjson.encode(claimed))
return 1
`)

/**
 * KEYS: [1] sentinel, [2] loading mark. ARGV: [1] run id, [2] sentinel value.
 * A load that was emptied half-way must not be declared whole: the mark it began with is then gone too.
 */
export const sentinelScript = script(`
local mark = redis.call('GET', KEYS[2])
if not mark or cjson.decode(mark).runId ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
`)
