-- Pieces: where no call can see all partitions of a reservation (Redis Cluster), each partition S of its SKUs keeps a
-- record with the lines of that partition, under the reservation's id. A piece is taken, changed and given back by the
-- functions that do so with whole reservations; what the reservation is says its head (heads.lua), which may be
-- elsewhere. A piece's `token` is the attempt that took it ('a' and hex digits), later the number of the newest
-- operation that was applied to it. Numbers of a reservation's operations rise.

local pieces = {} -- the functions of this fragment and the two after it; and of this call:
--   pieces.prepared  id -> { operation, what is prepared for it }, or false; see prepared.lua
--   pieces.marked    marks of operations that are never applied any more -> true

do -- Lua allows 200 local names at once: what only these use ends with them
local CHECK_SECONDS = 10 -- after that somebody asks whether a new piece was committed
local LOOK_AGAIN_SECONDS = 1 -- later, where the head could not say yet what becomes of a piece

-- Begins a call for the pieces of partition message[5].
function pieces.begin(args)
  local message = begin_call(args)
  begin_expiry(0)
  reserving.begin()
  pieces.prepared, pieces.marked = {}, {}
  return message, message[5]
end

-- Per item the stored text under its id, live or closed, or false. `items` have their id first.
function pieces.stored(partition, items)
  local partitions, ids = {}, {}
  for i = 1, #items do
    partitions[i], ids[i] = partition, items[i][1]
  end
  return look_up(partitions, ids, { 'reservations', closed_now, closed_before })
end

-- Takes the units of an item that is decided; returns its outcome.
--   token, line_count, lines  of the choice that is taken
local function record_piece(partition, item, token, line_count, lines)
  local id, wanted = item[1], 0
  for at = 1, #lines, reserving.LINE_SIZE do
    wanted = wanted + lines[at + 2]
  end
  local expires_at, taken = item[3], 0
  for t = 1, take_count do
    taken = taken + take_units[t]
  end
  if expires_at == 0 and item[4] ~= 0 then
    expires_at = math.ceil(now_ms / 1000) + given(item[4], 1)
  end
  rows_in(partition)
  local tail = item[7] .. '\t' .. token .. '\t' .. text_of(line_count)
  local text = reserving.record_item(lines, 1, line_count, partition, id, item[6], tail, item[10], text_of(expires_at))
  look_at(partition, text_of(now_s + CHECK_SECONDS), '?\t' .. id)
  return { 'TAKEN', text, taken < wanted and 1 or 0 }
end

-- Whether a token is that of an item, or of one of its alternatives.
local function is_of_item(token, item)
  for k = 1, #item[13] do
    if item[13][k][1] == token then
      return true
    end
  end
  return token == item[2]
end

-- Takes the pieces of new reservations: each all or nothing, or as much as there is, perhaps nothing at all.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, lists, items }; lists as in reserve.lua; an item is
--          { id, attempt, second of expiry or 0, time to live or 0 for a transfer, 0 all or nothing 1 best effort 2 only see whether all
--          is there, head, tail (these as `record_item` takes them, the tail up to cart_ref), line count, lines as
--          `take_item` takes them, cause, channel, 1 when it borrows else 0, alternatives }; these are of baskets that
--          are in this partition with all that they may have: { { attempt, line count, lines }, ... }, and the token
--          of the record says which it is
--   reply  per item, as far as this call went: TAKEN, record, 1 when something is missing else 0 | TAKEN, '', 0 (only
--          looked) | RESERVATION_EXISTS, token, created_at_ms | and as `reserve` UNKNOWN_SKU, INSUFFICIENT_STOCK,
--          SWEEP_FIRST. A repeat of the attempt is answered like the first, but for what is missing
local function reserve_pieces(_, args)
  local message, partition = pieces.begin(args)
  local lists, items, outcomes, made = message[6], message[7], {}, {}
  local texts = pieces.stored(partition, items)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    local item, outcome, sweep = items[i], nil, nil
    local id, how = item[1], item[5]
    local text = made[id] or texts[i]
    if text and how < 2 then
      local record = read_record(id, partition, text)
      if is_of_item(record[TOKEN], item) then
        outcome = { 'TAKEN', text, 0 }
      else
        outcome = { 'RESERVATION_EXISTS', record[TOKEN], whole(record[3]) }
      end
    else
      local choice
      taker, taker_borrows = item[11], item[12] == 1
      outcome, sweep, choice = reserving.decide_choices(item[9], 1, item[8], how == 1, lists, item[13])
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      elseif how == 2 then
        taking.undo(0)
        outcome = outcome or { 'TAKEN', '', 0 }
      elseif not outcome or (how == 1 and outcome[1] == 'INSUFFICIENT_STOCK') then
        if choice > 0 then
          outcome = record_piece(partition, item, spread(item[13][choice]))
        else
          outcome = record_piece(partition, item, item[2], item[8], item[9])
        end
        made[id] = outcome[2]
      end
    end
    outcomes[i] = outcome
  end
  return finish(outcomes, partition)
end

redis.register_function('invengine_reserve_pieces', of_pieces(reserve_pieces))

-- A piece of which nothing stays: neither here nor among the closed ones.
function pieces.drop(record)
  record.is_dropped, record[TOKEN] = true, '!' .. record[TOKEN]
end

-- What is due in a partition, in the order of its time.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, entries at most }
--   reply  outcomes { 1 when more may be due else 0, { second, entry, id, token, question }, ... }: question 0 none,
--          the entry is stale; 1 was this attempt committed; 2 is this hold over
local function due(_, args)
  local message, partition = pieces.begin(args)
  local tag, left, found = tags[partition], message[6], { 0 }
  local seconds = call('ZRANGEBYSCORE', tag .. 'expiry', '-inf', text_of(now_s), 'LIMIT', 0, 100)
  found[1] = #seconds < 100 and 0 or 1
  for i = 1, #seconds do
    if left <= 0 then
      found[1] = 1
      break
    end
    local entries, items = call('LRANGE', tag .. 'expiry:' .. seconds[i], 0, left), {}
    if #entries > left then
      entries[#entries], found[1] = nil, 1
    end
    left = left - #entries
    for e = 1, #entries do
      items[e] = { match(entries[e], '\t(.*)$') }
    end
    local texts = pieces.stored(partition, items)
    for e = 1, #entries do
      local id, question, token = items[e][1], 0, ''
      local record = texts[e] and read_record(id, partition, texts[e])
      if record and (record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED') then
        token = record[TOKEN]
        if sub(entries[e], 1, 1) == '?' then
          question = sub(token, 1, 1) == 'a' and 1 or 0
        elseif record[STATE] == 'HELD' and whole(record[EXPIRES_AT]) <= now_s then
          question = 2
        end
      end
      found[#found + 1] = { seconds[i], entries[e], id, token, question }
    end
  end
  return finish(found, partition)
end

redis.register_function({ function_name = 'invengine_due', callback = of_pieces(due), flags = { 'allow-oom' } })

-- Applies what heads said about pieces.
--   keys   {pN}:log of the partition
--   args   1 message: { ..., { partition }, partition, items }; an item is { id, token of the piece that was asked
--          about or '' for any, word, second, entry, second to look again or 0 }; second and entry are '' where no
--          entry asked; word KEEP, BUSY: nothing; EXPIRE: the hold is over; ABORT: it was never committed, so nothing of it stays
--   reply  per item, as far as this call went, 1 when the piece was changed else 0
local function settle(_, args)
  local message, partition = pieces.begin(args)
  local items, outcomes, tag = message[6], {}, tags[partition]
  local texts = pieces.stored(partition, items)
  for i = 1, #items do
    if work > WORK_MAX then
      break
    end
    local item = items[i]
    local id, word, changed_it = item[1], item[3], 0
    local record = (word == 'EXPIRE' or word == 'ABORT') and (records[id] or (texts[i] and read_record(id, partition, texts[i])))
    if record and not record.is_dropped and (item[2] == '' or record[TOKEN] == item[2]) then
      local is_live = record[STATE] == 'HELD' or record[STATE] == 'CONFIRMED'
      if is_live and not units_are_reserved(record) then
        redis.log(redis.LOG_WARNING, 'invengine: units of reservation ' .. id .. ' are missing')
      elseif word == 'ABORT' then
        pieces.drop(record)
        expire_record(record, 'RELEASE', 'RELEASED')
        hash_drops[#hash_drops + 1] = { tag .. closed_now, id }
        hash_drops[#hash_drops + 1] = { tag .. closed_before, id }
        changed_it = 1
      elseif is_live then
        expire_record(record, 'EXPIRE', 'EXPIRED')
        changed_it = 1
      end
    end
    if item[6] > 0 then
      look_at(partition, text_of(math.max(item[6], now_s + LOOK_AGAIN_SECONDS)), item[5])
    end
    outcomes[i] = changed_it
  end
  cover_raised() -- once all are gone that are over: none of them gets what another one leaves
  for i = 1, #outcomes do
    local second, entry = items[i][4], items[i][5]
    if second ~= '' then
      local bucket = tag .. 'expiry:' .. second
      call('LREM', bucket, 1, entry)
      if call('EXISTS', bucket) == 0 then
        call('ZREM', tag .. 'expiry', second)
      end
    end
  end
  return finish(outcomes, partition)
end

redis.register_function({ function_name = 'invengine_settle', callback = of_pieces(settle), flags = { 'allow-oom' } })
end
