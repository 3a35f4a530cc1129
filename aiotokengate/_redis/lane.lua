-- One lane, kept in Redis: what aiotokengate._policy decides in one process, decided for many.
--
-- Strategy.  A run takes a batch of operations of one process, applies them in order, then admits
-- whoever may go.  The arithmetic is that of bucket.py, queue.py and lanes.py, step by step, and a
-- test feeds both with the same operations.  Time is the server's.  What is bound only by time is
-- granted up to `ahead` seconds early, with the moment at which it may start; the caller waits that
-- out by itself.  One process is asked to look again when the next gate opens: the one whose call
-- is at the head.
--
-- Every process holds a lease on the lane, and each run renews it.  The calls of a process whose
-- lease has run out are taken out; what they had reserved counts as used.  Each batch has a number,
-- so that one sent twice is applied once.  A lane that was lost or set back (a restart without its
-- data, a failover) is found out by its epoch and its count of runs: it begins again with nothing
-- left, and every process says anew what it has.

local K_STATE, K_TICKETS, K_LEASES, K_MEMBERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local K_SEQUENCE, K_INDEX, K_GRANTED = KEYS[5], KEYS[6], KEYS[7]
local K_QUEUE = { [0] = KEYS[8], [1] = KEYS[9] }
local K_USERS = { [0] = KEYS[10], [1] = KEYS[11] }

local LAYOUT, PROCESS, SEQUENCE = ARGV[1], ARGV[2], tonumber(ARGV[3])
local EPOCH, RUNS, OFFERED = ARGV[4], tonumber(ARGV[5]), ARGV[6]
local KNOWN, AWAY, RESYNC = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local CONCURRENCY = tonumber(ARGV[10]) or math.huge
local LIMITS = { requests = tonumber(ARGV[11]), tokens = tonumber(ARGV[12]) }
local KIND, LEARN, LEASE = ARGV[13], ARGV[14] == '1', tonumber(ARGV[15])
local AHEAD, GRAIN, CHANNEL, NAME = tonumber(ARGV[16]), tonumber(ARGV[17]), ARGV[18], ARGV[19]
local GRACE = tonumber(ARGV[21])
local FIRST_OPERATION = 22

local INF = math.huge
local MINUTE, TINY = 60, 1e-9
local PATIENCE, TURN, MANY = 30, 10, 1024
local FIRST_HOLD, NEXT_HOLD, HOLD_JITTER = 1, 3, 0.25
local LONGEST_HOLD, LONGEST_HOLD_OF_MANY, LAST_HOLD = 30, 8, 2
local IDLE = 600
local WAITING, ADMITTED, ANSWERED = 0, 1, 2

local now
if ARGV[20] ~= '' then
  now = tonumber(ARGV[20])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function exact(number)
  return string.format('%.17g', number)
end

-- Meters ------------------------------------------------------------------------------------------

local function ceiling(at)
  return GRAIN > 0 and math.ceil(at / GRAIN) * GRAIN or at
end

local function new_meter(limit)
  if KIND == 'window' then
    return { kind = KIND, limit = limit, reserved = 0, counted = 0, ends = {}, amounts = {} }
  end
  return { kind = KIND, limit = limit, capacity = limit, level = limit, at = now, reserved = 0 }
end

local function room(m)
  if m.kind == 'window' then
    while m.ends[1] and m.ends[1] <= now do
      table.remove(m.ends, 1)
      m.counted = m.counted - table.remove(m.amounts, 1)
    end
    if not m.ends[1] then m.counted = 0 end
    return m.limit - m.counted - m.reserved
  end
  if now > m.at then
    m.level = math.min(m.level + (now - m.at) * (m.limit / MINUTE), m.capacity)
    m.at = now
  end
  return m.level - m.reserved
end

local function ready_at(m, amount)
  if m.kind == 'window' then
    local missing = math.min(amount, m.limit) - room(m) - m.limit * TINY
    if missing <= 0 then return now end
    for place, at in ipairs(m.ends) do
      missing = missing - m.amounts[place]
      if missing <= 0 then return at end
    end
    return INF
  end
  local need = math.min(amount, m.capacity)
  local missing = need - room(m)
  if missing <= m.capacity * TINY then return now end
  if need + m.reserved > m.capacity * (1 + TINY) then return INF end
  return now + missing / (m.limit / MINUTE)
end

local function count(m, at, amount)
  local place = #m.ends
  while place > 0 and m.ends[place] > at do place = place - 1 end
  if place > 0 and m.ends[place] == at then
    m.amounts[place] = m.amounts[place] + amount
  else
    table.insert(m.ends, place + 1, at)
    table.insert(m.amounts, place + 1, amount)
  end
  m.counted = m.counted + amount
end

local function add(m, at, amount)
  room(m)
  if m.kind ~= 'window' then
    m.level = m.level - amount
    return INF
  end
  local ends = ceiling(at + MINUTE)
  if ends > now then count(m, ends, amount) end
  return ends
end

local function charge(m, at, reserved, amount)
  m.reserved = m.reserved - reserved
  return add(m, at, amount)
end

local function refund(m, amount, untl)
  room(m)
  if m.kind ~= 'window' then
    m.level = math.min(m.capacity, m.level + amount)
  elseif untl > now then
    count(m, untl, -amount)
  end
end

-- Nothing is left: whoever can't be asked may have used it, or been granted it ahead.
local function clamp(m)
  local left = room(m)
  if m.kind ~= 'window' then left = left + AHEAD * m.limit / MINUTE end
  if left > 0 then add(m, now + AHEAD, left) end
end

-- What counts as used already is reserved again, for a call that is found to go on.
local function reserve_again(m, amount)
  m.reserved = m.reserved + amount
  if m.kind ~= 'window' then
    room(m)
    m.level = m.level + amount
    return
  end
  while amount > 0 and m.ends[1] do
    local last = #m.ends
    local part = math.min(amount, m.amounts[last])
    m.amounts[last] = m.amounts[last] - part
    m.counted = m.counted - part
    amount = amount - part
    if m.amounts[last] > 0 then break end
    table.remove(m.ends)
    table.remove(m.amounts)
  end
end

-- The limits of the latest run hold; what was used stays used.
local function fitted(m, limit)
  if not limit then return nil end
  if not m then return new_meter(limit) end
  if m.kind == KIND and m.limit == limit then return m end
  local used = m.limit - (room(m) + m.reserved)
  if m.kind == KIND and KIND == 'window' then
    m.limit = limit
    return m
  end
  local changed = new_meter(limit)
  changed.reserved = m.reserved
  if used > 0 then add(changed, now, used) end
  return changed
end

-- The lane's state --------------------------------------------------------------------------------

local function decoded(key)
  local found, text = pcall(redis.call, 'GET', key)
  if not found or type(text) == 'table' then return nil, 'something else' end
  if not text then return nil end
  local whole, value = pcall(cmsgpack.unpack, text)
  if not whole or type(value) ~= 'table' then return nil, 'something else' end
  if value.layout ~= LAYOUT then return nil, tostring(value.layout or 'something else') end
  return value
end

local S, strange = decoded(K_STATE)
if strange then return { 'layout', strange } end

local function new_class()
  return { waiting = 0, served = 0, weights = 0, bearable = MANY }
end

local function created(lost)
  -- A full Redis refuses this; after a DEL it would let the rest of the run pass.
  redis.call('SET', K_STATE, '')
  redis.call('DEL', unpack(KEYS))
  S = {
    layout = LAYOUT, epoch = OFFERED, runs = 0, last = now, fresh = not lost, number = 0,
    in_flight = 0, admitted = 0, refused = 0, seconds = 0, passed = 0,
    hold = 0, hold_for = FIRST_HOLD, cut = -1, let_in = true,
    grace = 0, grace_from = now, grace_for = 0, ['0'] = new_class(), ['1'] = new_class(),
    look = -1, looker = '',
  }
end

local function fit_meters()
  S.requests = fitted(S.requests, LIMITS.requests)
  S.tokens = fitted(S.tokens, LIMITS.tokens)
end

local function clamp_meters()
  if S.requests then clamp(S.requests) end
  if S.tokens then clamp(S.tokens) end
end

-- Let nobody in until all have come back, or have had the time to: what they used is not known yet.
local function wait_for_others()
  clamp_meters()
  if now < S.grace_from + 2 * GRACE and S.grace_for > 0 then return end
  S.grace, S.grace_from, S.grace_for = now + GRACE, now, KNOWN
end

local function class_of(bulk)
  return S[tostring(bulk)]
end

local function waiting()
  return class_of(0).waiting + class_of(1).waiting
end

local function statistics()
  local function left(m) return m and exact(room(m)) or '' end
  local function limit(m) return m and exact(m.limit) or '' end
  return {
    'ok', S.epoch, tostring(S.runs), exact(now), tostring(waiting()), tostring(S.in_flight),
    tostring(S.admitted), tostring(S.refused), exact(math.max(0, S.hold - now)),
    left(S.requests), left(S.tokens), limit(S.requests), limit(S.tokens), exact(S.seconds),
    S.concurrency and tostring(S.concurrency) or '',
  }
end

if PROCESS == '' then
  if not S then return { 'none' } end
  return statistics()
end

-- Tickets and the queue ---------------------------------------------------------------------------

local function load_ticket(member)
  local text = redis.call('HGET', K_TICKETS, member)
  return text and cmsgpack.unpack(text)
end

local function save_ticket(member, t)
  redis.call('HSET', K_TICKETS, member, cmsgpack.pack(t))
end

local function drop_ticket(member)
  redis.call('HDEL', K_TICKETS, member)
  redis.call('ZREM', K_INDEX, member)
  redis.call('ZREM', K_GRANTED, member)
end

local function entry(member, t)
  return string.format('%015d:', t.number) .. member
end

local function load_user(t)
  local text = redis.call('HGET', K_USERS[t.bulk], t.fair)
  return text and cmsgpack.unpack(text) or { ends = 0, waiting = 0, weight = 1 }
end

local function save_user(t, user)
  redis.call('HSET', K_USERS[t.bulk], t.fair, cmsgpack.pack(user))
end

local function forget_even_users(bulk, class)
  local kept = 0
  local users = redis.call('HGETALL', K_USERS[bulk])
  for place = 1, #users, 2 do
    local user = cmsgpack.unpack(users[place + 1])
    if user.waiting > 0 or user.ends > class.served then
      kept = kept + 1
    else
      redis.call('HDEL', K_USERS[bulk], users[place])
    end
  end
  class.bearable = 2 * kept + MANY
end

local function queue_enter(member, t, user)
  local class = class_of(t.bulk)
  if user.waiting == 0 then
    user.weight = t.weight
    class.weights = class.weights + t.weight
  end
  user.waiting = user.waiting + 1
  class.waiting = class.waiting + 1
  S.number = S.number + 1
  t.number = S.number
  save_user(t, user)
  redis.call('ZADD', K_QUEUE[t.bulk], exact(t.start), entry(member, t))
end

local function queue_exit(member, t)
  local class = class_of(t.bulk)
  redis.call('ZREM', K_QUEUE[t.bulk], entry(member, t))
  class.waiting = class.waiting - 1
  if class.waiting == 0 then
    redis.call('DEL', K_USERS[t.bulk])
    class.served, class.weights = 0, 0
    return
  end
  local user = load_user(t)
  user.waiting = user.waiting - 1
  if user.waiting == 0 then class.weights = class.weights - user.weight end
  save_user(t, user)
  if redis.call('HLEN', K_USERS[t.bulk]) > class.bearable then forget_even_users(t.bulk, class) end
end

local function first(bulk)
  if class_of(bulk).waiting == 0 then return nil end
  local found = redis.call('ZRANGE', K_QUEUE[bulk], 0, 0)[1]
  local member = string.sub(found, 17)
  return member, load_ticket(member)
end

local function head()
  local urgent, urgent_ticket = first(0)
  local other, other_ticket = first(1)
  if not urgent then return other, other_ticket end
  if not other then return urgent, urgent_ticket end
  local patient = now - other_ticket.arrived < PATIENCE or S.passed < TURN - 1
  if patient then return urgent, urgent_ticket end
  return other, other_ticket
end

local function pop(member, t)
  local class = class_of(t.bulk)
  class.served = math.max(class.served, t.start) + t.cost / class.weights
  queue_exit(member, t)
  if t.bulk == 1 then
    S.passed = 0
    return
  end
  local other, other_ticket = first(1)
  if other and now - other_ticket.arrived >= PATIENCE then S.passed = S.passed + 1 end
end

local function cost(t)
  local share = 0
  if S.requests then share = 1 / S.requests.limit end
  if S.tokens then share = math.max(share, t.tokens / S.tokens.limit) end
  return share > 0 and share or 1
end

-- Admission ---------------------------------------------------------------------------------------

local function gate(t)
  if S.in_flight >= CONCURRENCY then return INF, 'concurrency' end
  local at, because = now, 'queue'
  local function wait(candidate, reason)
    if candidate > at then at, because = candidate, reason end
  end
  wait(S.hold, 'hold')
  wait(S.grace, 'hold')
  if S.requests then wait(ready_at(S.requests, 1), 'requests') end
  if S.tokens then wait(ready_at(S.tokens, t.tokens), 'tokens') end
  return at, because
end

local grants = {}

local function take(member, t, at)
  t.stage, t.admitted, t.charged = ADMITTED, at, 0
  S.in_flight = S.in_flight + 1
  S.admitted = S.admitted + 1
  if S.requests then S.requests.reserved = S.requests.reserved + 1 end
  if S.tokens then S.tokens.reserved = S.tokens.reserved + t.tokens end
  save_ticket(member, t)
  redis.call('ZADD', K_INDEX, 0, member)
  redis.call('ZADD', K_GRANTED, 0, member)
  grants[#grants + 1] = { member, at, t.start }
end

local function admit()
  -- A hold may still grow, and a grace ends early: nobody is told before they are over.
  local ahead = math.max(S.hold, S.grace) > now and 0 or AHEAD
  while true do
    local member, t = head()
    if not member then return INF, 'queue', '' end
    local at, because = gate(t)
    if at > now + ahead then return at, because, string.match(member, '^[^/]*') end
    pop(member, t)
    take(member, t, at)
  end
end

-- What becomes of a call --------------------------------------------------------------------------

local function counted(t, at)
  if S.requests then t.requests_until = charge(S.requests, at, 1, 1) end
end

local function answered(t, age)
  if t.stage ~= ADMITTED then return end
  local at = math.min(now, math.max(now - age, t.admitted))
  counted(t, at)
  t.stage = ANSWERED
  if S.tokens and t.late == 0 then
    t.tokens_until = charge(S.tokens, at, t.tokens, t.tokens)
    t.charged = t.tokens
  end
  S.let_in = true
end

local function finish(member, t)
  S.in_flight = S.in_flight - 1
  S.seconds = S.seconds + (now - t.admitted - S.seconds) / 16
  drop_ticket(member)
end

local function settle(member, t, age, amount)
  answered(t, age)
  if t.stage ~= ANSWERED then return end
  finish(member, t)
  if not S.tokens then return end
  amount = amount or t.tokens
  if t.late == 1 then
    charge(S.tokens, now, t.tokens, amount)
  elseif amount > t.charged then
    add(S.tokens, now, amount - t.charged)
  elseif amount < t.charged then
    refund(S.tokens, t.charged - amount, t.tokens_until or 0)
  end
end

local function give_tokens_back(t)
  if not S.tokens then return end
  if t.stage == ANSWERED and t.late == 0 then
    refund(S.tokens, t.charged, t.tokens_until or 0)
  else
    S.tokens.reserved = S.tokens.reserved - t.tokens
  end
end

-- It never left.
local function give_back(member, t)
  if t.stage == ADMITTED then
    if S.requests then S.requests.reserved = S.requests.reserved - 1 end
  elseif t.stage == ANSWERED then
    if S.requests then refund(S.requests, 1, t.requests_until or 0) end
  else
    return
  end
  give_tokens_back(t)
  finish(member, t)
end

-- The gateway refused it: its request counts, its tokens don't.
local function turn_away(member, t)
  if t.stage ~= ADMITTED and t.stage ~= ANSWERED then return end
  if t.stage == ADMITTED then counted(t, now) end
  give_tokens_back(t)
  finish(member, t)
end

local function next_hold(final)
  if S.let_in then return FIRST_HOLD end
  local longest = LONGEST_HOLD_OF_MANY
  if waiting() == 0 then longest = final and LAST_HOLD or LONGEST_HOLD end
  return math.min(NEXT_HOLD * S.hold_for, longest)
end

local function refuse(member, t, retry_after, chance, hinted, final)
  local at, hold = t.admitted, retry_after
  turn_away(member, t)
  S.refused = S.refused + 1
  if LEARN and at >= S.cut then
    S.cut = now
    if not hinted then
      S.hold_for, S.let_in = next_hold(final), false
      hold = math.max(hold, S.hold_for * (1 + HOLD_JITTER * chance))
    end
  end
  S.hold = math.max(S.hold, now + hold)
end

-- A process is gone: its waiters leave, and what it had reserved counts as used.
local function bury(process)
  local members = redis.call('ZRANGEBYLEX', K_INDEX, '[' .. process .. '/', '[' .. process .. '0')
  for _, member in ipairs(members) do
    local t = load_ticket(member)
    if t and t.stage == WAITING then
      queue_exit(member, t)
      drop_ticket(member)
    elseif t then
      answered(t, 0)
      if S.tokens and t.late == 1 then charge(S.tokens, now, t.tokens, t.tokens) end
      finish(member, t)
    end
  end
  redis.call('ZREM', K_LEASES, process)
  redis.call('HDEL', K_SEQUENCE, process)
  return #members
end

local function bury_the_dead()
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', K_LEASES, '-inf', exact(now))) do
    if process ~= PROCESS and bury(process) > 0 then
      redis.call('ZREM', K_MEMBERS, string.match(process, '^[^.]*'))
    end
  end
end

-- Operations: name, how many arguments, what to do ------------------------------------------------

local function with_ticket(act)
  return function(a)
    local member = PROCESS .. '/' .. a[1]
    local t = load_ticket(member)
    if t then act(member, t, a) end
  end
end

local OPERATIONS = {
  enter = { 8, function(a)
    local member = PROCESS .. '/' .. a[1]
    local t = {
      stage = WAITING, tokens = tonumber(a[2]), late = tonumber(a[3]), bulk = tonumber(a[4]),
      fair = a[5], weight = tonumber(a[6]), start = tonumber(a[8]) or 0,
    }
    if waiting() == 0 and gate(t) <= now then return take(member, t, now) end
    local class, user = class_of(t.bulk), load_user(t)
    t.cost = cost(t)
    if a[8] == '' then
      t.arrived = now - tonumber(a[7])
      t.start = math.max(class.served, user.ends)
      user.ends = t.start + t.cost / t.weight
    else
      local _, before = head()
      t.arrived = now - tonumber(a[7])
      t.start = before and before.start or class.served
    end
    queue_enter(member, t, user)
    save_ticket(member, t)
    redis.call('ZADD', K_INDEX, 0, member)
  end },
  leave = { 1, with_ticket(function(member, t)
    if t.stage ~= WAITING then return give_back(member, t) end
    queue_exit(member, t)
    drop_ticket(member)
  end) },
  answered = { 2, with_ticket(function(member, t, a)
    answered(t, tonumber(a[2]))
    save_ticket(member, t)
    redis.call('ZREM', K_GRANTED, member)
  end) },
  true_up = { 2, with_ticket(function(member, t, a)
    local tokens = tonumber(a[2])
    if not S.tokens or t.late == 0 or tokens <= t.tokens then return end
    S.tokens.reserved = S.tokens.reserved + tokens - t.tokens
    t.tokens = tokens
    save_ticket(member, t)
  end) },
  settle = { 3, with_ticket(function(member, t, a)
    settle(member, t, tonumber(a[2]), tonumber(a[3]))
  end) },
  refund = { 1, with_ticket(give_back) },
  refuse = { 5, with_ticket(function(member, t, a)
    refuse(member, t, tonumber(a[2]), tonumber(a[3]), a[4] == '1', a[5] == '1')
  end) },
  crowd = { 1, with_ticket(turn_away) },
  -- A call that was admitted and is not known here: by us before the lane was lost ("again"), or by
  -- the process itself while it could not ask ("local").
  adopt = { 6, function(a)
    local member = PROCESS .. '/' .. a[1]
    local t = {
      stage = tonumber(a[2]), tokens = tonumber(a[3]), late = tonumber(a[4]), bulk = 0,
      charged = tonumber(a[2]) == ANSWERED and tonumber(a[4]) == 0 and tonumber(a[3]) or 0,
      admitted = now - tonumber(a[5]), start = 0,
    }
    local open = t.stage == ADMITTED
    local function keep(m, amount, reserved)
      if not m then return end
      if a[6] == 'again' then
        if reserved then reserve_again(m, amount) end
      elseif reserved then
        m.reserved = m.reserved + amount
      else
        add(m, now, amount)
      end
    end
    keep(S.requests, 1, open)
    keep(S.tokens, t.tokens, open or t.late == 1)
    S.in_flight = S.in_flight + 1
    save_ticket(member, t)
    redis.call('ZADD', K_INDEX, 0, member)
  end },
  add = { 2, function(a)
    if S.requests then add(S.requests, now, tonumber(a[1])) end
    if S.tokens then add(S.tokens, now, tonumber(a[2])) end
    S.admitted = S.admitted + tonumber(a[1])
  end },
  bury = { 1, function(a) bury(a[1]) end },
  bye = { 0, function()
    bury(PROCESS)
    redis.call('ZREM', K_MEMBERS, string.match(PROCESS, '^[^.]*'))
  end },
}

-- The run -----------------------------------------------------------------------------------------

local set_back = S and EPOCH ~= '' and S.epoch == EPOCH and S.runs < RUNS
local lost = EPOCH ~= '' and (not S or set_back)
if lost or not S then created(lost) end
S.concurrency = CONCURRENCY < INF and CONCURRENCY or false
fit_meters()
if lost then
  wait_for_others()
elseif EPOCH ~= '' and S.epoch ~= EPOCH and S.fresh then
  -- Somebody new was here first, and did not know that there had been others.
  S.fresh = false
  wait_for_others()
end

local known = tonumber(redis.call('HGET', K_SEQUENCE, PROCESS) or '')
local status = 'ok'
if SEQUENCE > 1 and (not known or S.epoch ~= EPOCH) then
  status = 'lost'
elseif not known or known < SEQUENCE then
  if AWAY > 0 and now - S.last >= AWAY * 0.9 then wait_for_others() end
  redis.call('HSET', K_SEQUENCE, PROCESS, SEQUENCE)
  redis.call('ZADD', K_LEASES, exact(now + LEASE), PROCESS)
  redis.call('ZADD', K_MEMBERS, exact(now), string.match(PROCESS, '^[^.]*'))
  local place = FIRST_OPERATION
  while ARGV[place] do
    local operation = OPERATIONS[ARGV[place]]
    local a = {}
    for offset = 1, operation[1] do a[offset] = ARGV[place + offset] end
    operation[2](a)
    place = place + 1 + operation[1]
  end
end

if S.grace > now and redis.call('ZCOUNT', K_MEMBERS, exact(S.grace_from), '+inf') >= S.grace_for then
  S.grace = 0
end
bury_the_dead()

local at, because, looker = admit()
if looker ~= PROCESS and looker ~= '' and (S.looker ~= looker or math.abs(S.look - at) > 0.001) then
  grants[#grants + 1] = { looker .. '/' }
end
S.look, S.looker = at < INF and at or -1, looker
S.runs, S.last = S.runs + 1, now

-- A little early, so that the journey of the grant is over when the gate opens.
local function until_look(opens)
  return exact(math.max(0, opens - now - math.min(AHEAD, 0.05)))
end

-- Tell the others, each on its own channel, and the caller in the answer.
local messages, own = {}, {}
for _, grant in ipairs(grants) do
  local process, id = string.match(grant[1], '^([^/]*)/(.*)$')
  if process == PROCESS then
    own[#own + 1] = grant
  else
    local wait = looker == process and at < INF and until_look(at) or '-1'
    local text = messages[process] or table.concat({ NAME, process, wait }, '\n')
    if id ~= '' then
      text = text .. '\n' .. table.concat({ id, exact(math.max(0, grant[2] - now)), exact(grant[3]) }, ' ')
    end
    messages[process] = text
  end
end
for process, text in pairs(messages) do
  redis.call('PUBLISH', CHANNEL .. string.match(process, '^[^.]*'), text)
end

if RESYNC then
  own = {}
  local from, to = '[' .. PROCESS .. '/', '[' .. PROCESS .. '0'
  for _, member in ipairs(redis.call('ZRANGEBYLEX', K_GRANTED, from, to)) do
    local t = load_ticket(member)
    own[#own + 1] = { member, t.admitted, t.start }
  end
end

redis.call('ZREMRANGEBYSCORE', K_MEMBERS, '-inf', exact(now - IDLE))
local reply = statistics()
reply[1] = status
reply[16] = looker == PROCESS and at < INF and until_look(at) or '-1'
reply[17] = because
reply[18] = (waiting() > 0 and at == INF) and '1' or '0'
reply[19] = tostring(redis.call('ZCARD', K_MEMBERS))

local overdrawn = 0
for _, m in ipairs({ S.requests or false, S.tokens or false }) do
  if m then overdrawn = math.max(overdrawn, -room(m) / m.limit * MINUTE) end
end
local keep = IDLE + 2 * LEASE + math.max(overdrawn, S.hold - now)
reply[20] = exact(keep)
for _, grant in ipairs(own) do
  reply[#reply + 1] = string.match(grant[1], '/(.*)$')
  reply[#reply + 1] = exact(math.max(0, grant[2] - now))
  reply[#reply + 1] = exact(grant[3])
end

redis.call('SET', K_STATE, cmsgpack.pack(S))
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, math.ceil(keep * 1000))
end
return reply
