-- One step of the generic cell rate algorithm; times are microseconds.
-- KEYS[1]: when the quota is whole again. ARGV: time for one, time for as many as may come at once.
-- Answers 0, or how long to wait. The clock is the store's, so that replicas' clocks need not agree.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local every, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
local used = tonumber(redis.call('GET', KEYS[1]) or now)
-- Also where the clock was set back, or the quota was larger before.
used = math.min(math.max(used, now), now + whole)
local next = used + every
if next - now > whole then return math.ceil(next - now - whole) end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return 0
