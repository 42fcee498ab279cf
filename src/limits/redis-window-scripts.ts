/**
 * The common part of both scripts, with the same rules as the window of one process. Redis runs one script at a time,
 * so counts are exact for any number of processes. ARGV[1] is the time; 0 means the clock of Redis, which is the same
 * for all processes. ARGV[2] is the duration of a block. All times are in milliseconds.
 */
const HIT = `
local now, blockFor = tonumber(ARGV[1]), tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function hit(moments, state, limit, window, blockAfter)
  local function answer(allowed, blockedUntil)
    local count = redis.call('LLEN', moments)
    local oldest = tonumber(redis.call('LINDEX', moments, 0) or now - window)
    local reset = oldest + window - now
    local blocked = blockedUntil > now
    local retry = blocked and blockedUntil - now or (count < limit and 0 or reset)
    return allowed, blocked and 1 or 0, count, retry, reset
  end
  local blockedUntil = tonumber(redis.call('HGET', state, 'until') or 0)
  if blockedUntil > now and blockedUntil <= now + blockFor then return answer(0, blockedUntil) end
  while true do
    local oldest = redis.call('LINDEX', moments, 0)
    if not oldest or tonumber(oldest) > now - window then break end
    redis.call('LPOP', moments)
  end
  -- A time in the future means that the clock of Redis was set back. The recorded times are then invalid.
  if tonumber(redis.call('LINDEX', moments, -1) or now) > now then redis.call('DEL', moments) end
  if redis.call('LLEN', moments) < limit then
    redis.call('RPUSH', moments, now)
    redis.call('PEXPIRE', moments, window)
    return answer(1, 0)
  end
  if blockAfter == 0 then return answer(0, 0) end
  local since = tonumber(redis.call('HGET', state, 'since') or now - window)
  if since <= now - window or since > now then redis.call('HSET', state, 'refused', 0, 'since', now) end
  local refused = redis.call('HINCRBY', state, 'refused', 1)
  blockedUntil = 0
  if limit + refused > blockAfter then
    blockedUntil = now + blockFor
    redis.call('HSET', state, 'until', blockedUntil, 'refused', 0)
  end
  redis.call('PEXPIRE', state, blockedUntil > 0 and blockFor or window)
  return answer(0, blockedUntil)
end
`

/**
 * Decides independent requests, each in its own window.
 *
 * KEYS: two keys for each request. The first is a list with the times of allowed requests, oldest first. The second is
 * a hash with the number of refused requests, the start of that count, and the end of a block. ARGV from the third: the
 * limit, the window, and the number of requests before a block, for each request. Returns for each request: allowed,
 * blocked, count, retry after, reset.
 */
export const HITS = `${HIT}
local answers = {}
for i = 1, #KEYS / 2 do
  local to, rule = 5 * i - 4, 3 * i
  answers[to], answers[to + 1], answers[to + 2], answers[to + 3], answers[to + 4] =
    hit(KEYS[2 * i - 1], KEYS[2 * i], tonumber(ARGV[rule]), tonumber(ARGV[rule + 1]), tonumber(ARGV[rule + 2]))
end
return answers
`

/**
 * Decides one request in several windows. The request is allowed if all windows allow it. KEYS and ARGV are the same as
 * in {@link HITS}, with the widest window first. The first window that refuses decides, and the request is removed from
 * the earlier windows. Returns the five numbers of the window that decided.
 */
export const HIT_WITHIN = `${HIT}
local verdict
for i = 1, #KEYS / 2 do
  local rule = 3 * i
  local limit, window, blockAfter = tonumber(ARGV[rule]), tonumber(ARGV[rule + 1]), tonumber(ARGV[rule + 2])
  verdict = { hit(KEYS[2 * i - 1], KEYS[2 * i], limit, window, blockAfter) }
  if verdict[1] == 0 then
    for earlier = 1, i - 1 do redis.call('RPOP', KEYS[2 * earlier - 1]) end
    break
  end
end
return verdict
`
