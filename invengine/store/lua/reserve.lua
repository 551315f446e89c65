-- Reserving: the takes of the item that is being decided.
local take_count
local take_position, take_units, take_line -- by take: p, units, its line

local function take(p, units, line)
  take_count = take_count + 1
  take_position[take_count], take_units[take_count], take_line[take_count] = p, units, line
  reserved[p] = reserved[p] + units -- its text follows when the item is recorded
end

local function undo_takes(from)
  for i = take_count, from + 1, -1 do
    local p = take_position[i]
    reserved[p] = reserved[p] - take_units[i]
  end
  take_count = from
end

-- Takes the units of one line as far as they are there: whole from the first candidate that has them all, or in parts
-- when it may be split. Returns how many are missing, and how many there were (0, nil when nothing is missing).
--   list  { locations, units to keep, ten-thousandths of on_hand to keep }, see domain.stock.safety_units
local function take_line_units(line, partition, sku, wanted, may_split, list, best_effort)
  local locations, units, parts = list[1], list[2], list[3]
  local places = places_in(sku)
  local first, left, best, best_position = take_count, wanted, 0, nil
  for k = 1, #locations do
    local location = locations[k]
    local p = places[location]
    if p == nil then
      read_candidates(places, sku, partition, locations, k)
      p = places[location]
    end
    if p then
      local keep, part = units[k], parts[k]
      if part > 0 then
        local rest = on_hand[p] % 10000
        local share = (on_hand[p] - rest) / 10000 * part + math.ceil(rest * part / 10000)
        if share > keep then
          keep = share
        end
      end
      local free = on_hand[p] - reserved[p] - keep
      if free >= left then
        take(p, left, line)
        return 0
      elseif free > 0 then
        if may_split then
          take(p, free, line)
          left = left - free
        elseif free > best then
          best, best_position = free, p
        end
      end
    end
  end
  if may_split then
    best = wanted - left
    if not best_effort then
      undo_takes(first)
    end
  elseif best_effort and best > 0 then
    take(best_position, best, line)
  end
  return wanted - best, best
end

-- A line in the message: partition, sku, quantity, the line's fields of the record up to the destination with a TAB
-- before and after, 1 when it may be split else 0, place in the lists.
local LINE_SIZE = 6

-- Takes all lines of an item. Returns nil when the item may be recorded, else its refusal; then nothing is taken.
local function take_item(items, at, line_count, best_effort, lists)
  local short
  take_count = 0
  for line = 1, line_count do
    local partition, sku = items[at], items[at + 1]
    local missing, available = take_line_units(
      line, partition, sku, given(items[at + 2], 1), items[at + 4] == 1, lists[items[at + 5]], best_effort
    )
    if missing > 0 then
      if available == 0 and call('EXISTS', stock_key(sku, partition)) == 0 then
        undo_takes(0)
        return { 'UNKNOWN_SKU', line }
      end
      short = short or { 'INSUFFICIENT_STOCK' }
      short[#short + 1], short[#short + 2] = line, available
    end
    at = at + LINE_SIZE
  end
  return short
end

-- Decides an item; when it is short, expires what is due and decides anew. Returns nil or the refusal, and then
-- perhaps the partition to sweep before the item can be decided.
local function decide_item(items, at, line_count, best_effort, lists)
  local refusal = take_item(items, at, line_count, best_effort, lists)
  while refusal and refusal[1] == 'INSUFFICIENT_STOCK' do
    local partitions = {}
    for i = 2, #refusal, 2 do
      partitions[#partitions + 1] = items[at + (refusal[i] - 1) * LINE_SIZE]
    end
    local kept = take_count
    undo_takes(0)
    local answer = expire_for(partitions)
    if answer == nil then
      if not best_effort or kept == 0 then
        return refusal
      end
      take_item(items, at, line_count, best_effort, lists)
      return nil
    elseif answer ~= true then
      return refusal, answer
    end
    refusal = take_item(items, at, line_count, best_effort, lists)
  end
  return refusal
end

local held_count -- reservations made by this call
local second_of -- time to live -> the text of the second when it is over

-- Writes down the takes of a line: rows, legs. Returns the line's allocations for the record, and the first take after
-- it.
local function record_takes(line, partition, t, cause, expires_at)
  local rows, allocations = rows_in(partition), nil
  local n = #rows
  while take_line[t] == line and t <= take_count do
    local p = take_position[t]
    local location, units, leg = location_of[p], text_of(take_units[t]), new_leg(partition)
    local after = reserved_before[p] + take_units[t] -- as it is after this take, not after all
    reserved_before[p], reserved_text[p] = after, text_of(after)
    touch(p)
    n = n + 1
    rows[n] = 'P\t' .. sku_of[p] .. '\t' .. location .. '\t' .. on_hand_text[p] .. '\t' .. reserved_text[p] .. '\t'
      .. counted_text[p] .. '\t0\t' .. units .. cause .. now_text .. '\t\nH\t' .. leg .. '\t' .. sku_of[p] .. '\t'
      .. location .. '\t' .. units .. '\t' .. expires_at .. '\t0\t\t\n'
    local allocation = '\t' .. location .. '\t' .. leg .. '\t' .. units .. '\t0\t0\t'
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
      allocations, t = record_takes(line, partition, t, cause, expires_at)
      look_at(partition, expires_at, entry)
    end
    lines = lines .. items[at + 3] .. text_of(t - first) .. allocations
    at = at + LINE_SIZE
  end
  local text = head .. now_text .. '\t' .. expires_at .. '\t' .. revision_texts[home] .. lines
  local n = #home_rows
  home_rows[n + 1], home_rows[n + 2], home_rows[n + 3], home_rows[n + 4] = 'R\t', id, '\t\t', text
  home_rows[n + 5] = '\t\n'
  write_field(home, 'reservations', id, text)
  held_count = held_count + 1
  return text
end

local ITEM_SIZE = 8 -- fields of an item before its reference sets and lines

-- Reserves units: each item all or nothing, or as much as there is.
--   keys   {pN}:log of every partition of a SKU, a reservation or a request
--   args   1 message: { ..., { partition of a SKU or reservation, ... }, lists, items, { partition of the item's
--          request, ... }, { request, ... }, { home, ... }, { reservation_id, ... } }
--          lists are { locations, units, parts }; items are flat: fingerprint, time to live, 1 for best effort else 0,
--          head, tail and cause as `record_item` takes them, count of reference sets, line count; then the names of
--          these sets (`customer:<ref>` and so on), then LINE_SIZE fields per line
--   reply  per item, as far as this call went: the record as text | REPEATED, reservation_id TAB record |
--          REQUEST_MISMATCH | RESERVATION_EXISTS | UNKNOWN_SKU, line | INSUFFICIENT_STOCK, line, available, ... |
--          SWEEP_FIRST, partition: sweep it, then send this item and those after it again
local function reserve(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  take_position, take_units, take_line, held_count, second_of = {}, {}, {}, 0, {}
  local lists, items = message[5], message[6]
  local request_partitions, requests, homes, ids = message[7], message[8], message[9], message[10]
  local stored = look_up(request_partitions, requests, { requests_now, requests_before })
  local taken_ids = look_up(homes, ids, { 'reservations', closed_now, closed_before })
  local outcomes, made, at = {}, {}, 1
  for i = 1, #requests do
    if work > WORK_MAX then
      break
    end
    local fingerprint, id, set_count, line_count = items[at], ids[i], items[at + 6], items[at + 7]
    local lines = at + ITEM_SIZE + set_count
    local outcome = earlier_answer(requests[i], fingerprint, stored[i])
    if not outcome and (taken_ids[i] or made[id]) then
      outcome = { 'RESERVATION_EXISTS' }
    end
    if not outcome then
      local sweep
      outcome, sweep = decide_item(items, lines, line_count, items[at + 2] == 1, lists)
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      end
    end
    if not outcome then
      local home = homes[i]
      local seconds = items[at + 1]
      local expires_at = second_of[seconds]
      if not expires_at then
        expires_at = text_of(math.ceil(now_ms / 1000) + given(seconds, 1))
        second_of[seconds] = expires_at
      end
      outcome = record_item(items, lines, line_count, home, id, items[at + 3], items[at + 4], items[at + 5], expires_at)
      made[id] = true
      remember_request(request_partitions[i], requests[i], fingerprint, id, outcome)
      for set = at + ITEM_SIZE, lines - 1 do
        set_changes[#set_changes + 1] = { 'SADD', tags[home] .. items[set], id }
      end
    end
    outcomes[i] = outcome
    at = lines + line_count * LINE_SIZE
  end
  count_state('HELD', held_count)
  return finish(outcomes, homes[1])
end

redis.register_function('invengine_reserve', reserve)
