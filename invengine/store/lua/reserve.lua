-- Reserving: new reservations.

local reserving = {} -- what pieces.lua uses of this fragment

do -- Lua allows 200 local names at once: what only this verb uses ends with it
-- A line in the message: partition, sku, quantity, the line's fields of the record up to `future` with a TAB before and
-- after, how it may be split and what it may take as `take_line` reads it, place in the lists.
local LINE_SIZE = 6

-- Takes all lines of an item.
--   returns  nil or the refusal; the partitions of the lines that units on hand do not cover, or nil where they cover all
local function take_item(items, at, line_count, best_effort, lists)
  local short, partitions
  take_count = 0
  for line = 1, line_count do
    local partition, sku = items[at], items[at + 1]
    local missing, available, is_short = taking.take_line(
      line, partition, sku, given(items[at + 2], 0), items[at + 4], lists[items[at + 5]], best_effort
    )
    if is_short then
      partitions = partitions or {}
      partitions[#partitions + 1] = partition
    end
    if missing > 0 then
      if available == 0 and not incoming.knows(sku, partition) then
        taking.undo(0)
        return { 'UNKNOWN_SKU', line }
      end
      short = short or { 'INSUFFICIENT_STOCK' }
      short[#short + 1], short[#short + 2] = line, available
    end
    at = at + LINE_SIZE
  end
  return short, partitions
end

-- Decides an item; when units on hand do not do, expires what is due and decides anew. Returns nil, and the item's takes
-- are there to be recorded; or the refusal, and then perhaps the partition to sweep before the item can be decided.
local function decide_item(items, at, line_count, best_effort, lists)
  local refusal, partitions = take_item(items, at, line_count, best_effort, lists)
  while partitions do
    local kept = take_count
    taking.undo(0)
    local answer = expire_for(partitions)
    if answer == nil then
      if refusal and (not best_effort or kept == 0) then
        return refusal
      end
      take_item(items, at, line_count, best_effort, lists)
      return nil
    elseif answer ~= true then
      return refusal or partitions, answer
    end
    refusal, partitions = take_item(items, at, line_count, best_effort, lists)
  end
  return refusal
end

-- Decides an item as above, and where units do not suffice for it, by what it may have instead: the first of these that
-- fits is there to be recorded then.
--   others   per alternative { ..., line count, lines }, or nil
--   returns  nil or the refusal, of the first choice; perhaps the partition to sweep; what is there: 0 the first choice,
--            else the place of the alternative
local function decide_choices(items, at, line_count, best_effort, lists, others)
  local refusal, sweep = decide_item(items, at, line_count, best_effort, lists)
  if sweep or not others or not refusal or refusal[1] ~= 'INSUFFICIENT_STOCK' then
    return refusal, sweep, 0
  end
  for choice = 1, #others do
    local other, again = others[choice], nil
    again, sweep = decide_item(other[3], 1, other[2], best_effort, lists)
    if sweep then
      return refusal, sweep, 0
    elseif not again then
      return nil, nil, choice
    end
  end
  return refusal, nil, 0
end

local held_count, confirmed_count -- reservations made by this call, and transfers
local made -- reservation_ids of this call
local second_of -- time to live -> the text of the second when it is over

-- Writes down a take that is not on hand. Returns where, its leg and its source.
local function record_promise(t, partition, cause, id, home)
  local receipt, leg = take_receipt[t], new_leg(partition)
  receipt.pegged = receipt.pegged - take_units[t]
  incoming.peg(receipt, { id = id, home = home }, leg, take_units[t], match(cause, '^\t[^\t]*\t[^\t]*\t[^\t]*'))
  return receipt.location, leg, taking.source_of(t)
end

-- Units that takes of the item after take t get out of the same ring-fence.
local function taken_later(p, t)
  local units = 0
  for later = t + 1, take_count do
    units = units + (take_position[later] == p and take_fenced[later] or 0)
  end
  return units
end

-- The row of a hold that was taken; a reservation that does not expire has none.
local function taken_hold(t, leg, units, expires_at)
  if expires_at == '0' then
    return ''
  end
  local p, fenced_units = take_position[t], take_fenced[t]
  return 'H\t' .. leg .. '\t' .. sku_of[p] .. '\t' .. location_of[p] .. '\t' .. units .. '\t' .. expires_at
    .. (fenced_units > 0 and '\t' .. text_of(fenced_units) .. '\t' .. taker .. '\t\n' or '\t0\t\t\n')
end

-- Writes down the takes of a line: rows, legs. Returns the line's allocations for the record, and the first take after
-- it.
local function record_takes(line, partition, t, cause, expires_at, id, home)
  local rows, allocations = rows_in(partition), nil
  while take_line[t] == line and t <= take_count do
    local p, units = take_position[t], text_of(take_units[t])
    local location, leg, source = nil, nil, ''
    if p then
      location, leg = location_of[p], new_leg(partition)
      local fence, after = '', reserved_before[p] + take_units[t] -- as it is after this take, not after all
      reserved_before[p], reserved_text[p] = after, text_of(after)
      touch(p)
      if take_fenced[t] > 0 then
        source, fence = taking.source_of(t), fence_row(p, taker, taken_later(p, t))
      end
      rows[#rows + 1] = 'P\t' .. sku_of[p] .. '\t' .. location .. '\t' .. on_hand_text[p] .. '\t' .. reserved_text[p]
        .. '\t' .. counted_text[p] .. '\t0\t' .. units .. cause .. now_text .. '\t\n' .. fence
        .. taken_hold(t, leg, units, expires_at)
    else
      location, leg, source = record_promise(t, partition, cause, id, home)
    end
    local allocation = '\t' .. location .. '\t' .. leg .. '\t' .. units .. '\t0\t0\t' .. source
    allocations = allocations and allocations .. allocation or allocation
    t = t + 1
  end
  return allocations, t
end

-- Records an item whose units are taken. Returns the text of the record.
--   head   the fields of the record before `created_at_ms`; `tail` those from customer_ref to line_count
--   cause  the fields of its rows from `kind` to `reference`; these three have their TABs already
local function record_item(items, at, line_count, home, id, head, tail, cause, expires_at)
  local home_rows, lines, t, entry = rows_in(home), tail, 1, text_of(home) .. '\t' .. id
  for line = 1, line_count do
    local partition, first, allocations = items[at], t, ''
    if take_line[t] == line and t <= take_count then
      allocations, t = record_takes(line, partition, t, cause, expires_at, id, home)
      if expires_at ~= '0' then
        look_at(partition, expires_at, entry)
      end
    end
    lines = lines .. items[at + 3] .. text_of(t - first) .. allocations
    at = at + LINE_SIZE
  end
  local text = head .. now_text .. '\t' .. expires_at .. '\t' .. revision_texts[home] .. lines
  local n = #home_rows
  home_rows[n + 1], home_rows[n + 2], home_rows[n + 3], home_rows[n + 4] = 'R\t', id, '\t\t', text
  home_rows[n + 5] = '\t\n'
  write_field(home, 'reservations', id, text)
  if expires_at == '0' then
    confirmed_count = confirmed_count + 1
  else
    held_count = held_count + 1
  end
  return text
end

-- The usual item: one line, which the pool of its first candidate covers. Decided and recorded in one go, with the same
-- rows and the same record as by the functions above, in fewer steps. Returns the text of the record; nil where the item
-- is another one, and then nothing has happened.
local function reserve_usual(items, at, lists, home, id, head, tail, cause, expires_at)
  local partition, sku, wanted, split, list = items[at], items[at + 1], items[at + 2], items[at + 4], lists[items[at + 5]]
  local location = list[1][1]
  if not location or list[5] or wanted == 0 or (split ~= 0 and split ~= 1) then
    return nil
  end
  local p = find_position(sku, location, partition)
  local rules = list[4] and list[4][1]
  if not p or fences_of[p] or taking.free_at(p, list[2][1], list[3][1], rules) < given(wanted, 1) then
    return nil
  end
  local home_rows, rows, units, after = rows_in(home), rows_in(partition), text_of(wanted), reserved[p] + wanted
  local leg, after_text = new_leg(partition), text_of(after)
  reserved[p], reserved_before[p], reserved_text[p] = after, after, after_text
  touch(p)
  look_at(partition, expires_at, text_of(home) .. '\t' .. id)
  rows[#rows + 1] = 'P\t' .. sku .. '\t' .. location .. '\t' .. on_hand_text[p] .. '\t' .. after_text .. '\t'
    .. counted_text[p] .. '\t0\t' .. units .. cause .. now_text .. '\t\nH\t' .. leg .. '\t' .. sku .. '\t' .. location
    .. '\t' .. units .. '\t' .. expires_at .. '\t0\t\t\n'
  local text = head .. now_text .. '\t' .. expires_at .. '\t' .. revision_texts[home] .. tail .. items[at + 3]
    .. '1\t' .. location .. '\t' .. leg .. '\t' .. units .. '\t0\t0\t'
  local n = #home_rows
  home_rows[n + 1], home_rows[n + 2], home_rows[n + 3], home_rows[n + 4] = 'R\t', id, '\t\t', text
  home_rows[n + 5] = '\t\n'
  write_field(home, 'reservations', id, text)
  held_count = held_count + 1
  return text
end

-- Begins a call that reserves.
function reserving.begin()
  taking.begin()
  held_count, confirmed_count, made, second_of = 0, 0, {}, {}
  reserving.made = made
end

reserving.decide_choices, reserving.record_item, reserving.LINE_SIZE = decide_choices, record_item, LINE_SIZE

-- The text of the second when so many seconds to live are over.
local function second_in(seconds)
  local second = second_of[seconds]
  if not second then
    second = seconds == 0 and '0' or text_of(math.ceil(now_ms / 1000) + given(seconds, 1))
    second_of[seconds] = second
  end
  return second
end

local ITEM_SIZE = 9 -- fields of an item before its reference sets and lines

-- Decides an item and, where it gets its units, records all of it.
--   items, at          as `reserve` has them
--   stored, is_taken   what its request was answered before, or false; whether its reservation_id is in use already
--   returns            its outcome; nil and the partition to sweep before it can be decided
local function reserve_item(items, at, lists, others, request_partition, request, home, id, stored, is_taken)
  local fingerprint, set_count, line_count = items[at], items[at + 7], items[at + 8]
  local outcome = earlier_answer(request, fingerprint, stored)
  if outcome then
    return outcome
  elseif is_taken or made[id] then
    return { 'RESERVATION_EXISTS' }
  end
  local lines, ways, expires_at, text, choice = at + ITEM_SIZE + set_count, items[at + 2], second_in(items[at + 1]), nil, 0
  taker, taker_borrows = items[at + 6], ways < 2
  if line_count == 1 and taker_borrows and expires_at ~= '0' then
    text = reserve_usual(items, lines, lists, home, id, items[at + 3], items[at + 4], items[at + 5], expires_at)
  end
  if not text then
    local sweep
    outcome, sweep, choice = decide_choices(items, lines, line_count, ways % 2 == 1, lists, others)
    if sweep then
      return nil, sweep
    elseif outcome then
      return outcome
    end
    local tail, count, taken, from = items[at + 4], line_count, items, lines
    if choice > 0 then
      tail, count, taken, from = others[choice][1], others[choice][2], others[choice][3], 1
    end
    text = record_item(taken, from, count, home, id, items[at + 3], tail, items[at + 5], expires_at)
  end
  made[id] = true
  remember_request(request_partition, request, fingerprint, id, text)
  for set = at + ITEM_SIZE, lines - 1 do
    set_changes[#set_changes + 1] = { 'SADD', tags[home] .. items[set], id }
  end
  return choice == 0 and text or { 'TAKEN', choice, text }
end

reserving.item, reserving.second_in = reserve_item, second_in

-- Counts what was made and ends the call.
function reserving.finish(outcomes, home, plain_count)
  count_state('HELD', held_count + plain_count)
  count_state('CONFIRMED', confirmed_count)
  return finish(outcomes, home)
end

-- Reserves units: each item all or nothing, or as much as there is; where its lines find nothing, perhaps others instead.
--   keys   {pN}:log of every partition of a SKU, a reservation or a request
--   args   1 message: { ..., { partition of a SKU or reservation, ... }, lists, items, { partition of the item's
--          request, ... }, { request, ... }, { home, ... }, { reservation_id, ... }, { [place of the item] = alternatives, ... }
--          or nothing }
--          lists as `take_line` has them; items are flat: fingerprint, time to live or 0 for a transfer, 1 for best effort else 0
--          and 2 more where the channel does not borrow, head, tail and cause as `record_item` takes them, channel,
--          count of reference sets, line count; then the names of these sets (`customer:<ref>` and so on), then
--          LINE_SIZE fields per line; alternatives are { { tail, line count, LINE_SIZE fields per line }, ... }, in the
--          order in which they are tried
--   reply  per item, as far as this call went: the record as text | TAKEN, place of the alternative, record | REPEATED, reservation_id TAB record |
--          REQUEST_MISMATCH | RESERVATION_EXISTS | UNKNOWN_SKU, line | INSUFFICIENT_STOCK, line, available, ... |
--          SWEEP_FIRST, partition: sweep it, then send this item and those after it again. `available` is what
--          best effort would take; of an item with alternatives that of its first choice
local function reserve(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  reserving.begin()
  local lists, items, alternatives = message[5], message[6], message[11]
  local request_partitions, requests, homes, ids = message[7], message[8], message[9], message[10]
  local stored = look_up(request_partitions, requests, { requests_now, requests_before })
  local taken_ids = look_up(homes, ids, { 'reservations', closed_now, closed_before })
  local outcomes, at = {}, 1
  for i = 1, #requests do
    if work > WORK_MAX then
      break
    end
    local outcome, sweep = reserve_item(
      items, at, lists, alternatives and alternatives[i],
      request_partitions[i], requests[i], homes[i], ids[i], stored[i], taken_ids[i]
    )
    if sweep then
      outcomes[i] = { 'SWEEP_FIRST', sweep }
      break
    end
    outcomes[i] = outcome
    at = at + ITEM_SIZE + items[at + 7] + items[at + 8] * LINE_SIZE
  end
  return reserving.finish(outcomes, homes[1], 0)
end

redis.register_function('invengine_reserve', reserve)
end
