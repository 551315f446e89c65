-- Reserving: the takes of the item that is being decided.
local take_count
local take_position, take_units, take_line, reserved_after -- by take: p, units, its line, reserved at p after it

local function take(p, units, line)
  take_count = take_count + 1
  local after = reserved[p] + units
  reserved[p] = after
  take_position[take_count], take_units[take_count], take_line[take_count] = p, units, line
  reserved_after[take_count] = after
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

-- A line of an item in the message: its fields, from `at` on.
local LINE_SIZE = 7 -- line_id, partition, sku, quantity, the record's fields from fulfilment on, may split, list

-- Takes all lines of an item. Returns nil when the item may be recorded, else its refusal; then nothing is taken.
local function take_item(items, at, line_count, best_effort, lists)
  local short
  take_count = 0
  for line = 1, line_count do
    local partition, sku = items[at + 1], items[at + 2]
    local missing, available = take_line_units(
      line, partition, sku, given(items[at + 3], 1), items[at + 5] == 1, lists[items[at + 6]], best_effort
    )
    if missing > 0 then
      if available == 0 and call('EXISTS', tags[partition] .. 'stock:' .. sku) == 0 then
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
      partitions[#partitions + 1] = items[at + (refusal[i] - 1) * LINE_SIZE + 1]
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

-- Records an item whose units are taken. Returns the text of the record.
local function record_item(items, at, line_count, home, id, channel, references, order_ref, expires_at)
  local home_rows = rows_in(home)
  local pieces = {}
  local t = 1
  local channel_and_id = channel .. '\t' .. id
  local bucket = home .. '\t' .. id
  local bucket_partition
  for line = 1, line_count do
    local sku = items[at + 2]
    local partition = items[at + 1]
    local first, allocations = t, ''
    while t <= take_count and take_line[t] == line do
      local p, units = take_position[t], text_of(take_units[t])
      local rows = rows_in(partition)
      local leg, location = new_leg(partition), location_of[p]
      touch(p)
      rows[#rows + 1] = 'P\t' .. sku .. '\t' .. location .. '\t' .. text_of(on_hand[p]) .. '\t'
        .. text_of(reserved_after[t]) .. '\t' .. text_of(counted[p]) .. '\t0\t' .. units .. '\tRESERVE\t'
        .. channel_and_id .. '\t\t' .. order_ref .. '\t' .. now_text .. '\t\nH\t' .. leg .. '\t' .. sku .. '\t'
        .. location .. '\t' .. units .. '\t' .. expires_at .. '\t\n'
      allocations = allocations .. '\t' .. location .. '\t' .. leg .. '\t' .. units .. '\t0\t0'
      t = t + 1
    end
    if t > first and partition ~= bucket_partition then
      bucket_partition = partition
      local key = tags[partition] .. 'expiry:' .. expires_at
      local entries = push_of[key]
      if not entries or entries[#entries] ~= bucket then
        push_entry(key, bucket, expires_at, partition)
      end
    end
    pieces[line] = '\t' .. items[at] .. '\t' .. partition .. '\t' .. sku .. '\t' .. text_of(items[at + 3]) .. '\t'
      .. items[at + 4] .. '\t' .. text_of(t - first) .. allocations
    at = at + LINE_SIZE
  end
  local text = 'HELD\t' .. channel .. '\t' .. now_text .. '\t' .. expires_at .. '\t' .. text_of(revision_of[home])
    .. '\t' .. references .. '\t' .. line_count .. concat(pieces)
  home_rows[#home_rows + 1] = 'R\t' .. id .. '\t\t' .. text .. '\t\n'
  write_field(tags[home] .. 'reservations', id, text)
  count_state('HELD', 1)
  return text
end

local ITEM_SIZE = 10 -- fields of an item before its lines

-- Reserves units: each item all or nothing, or as much as there is.
--   keys   {pN}:log of every partition of a SKU, a reservation or a request
--   args   1 message: { ..., { partition of a SKU or reservation, ... }, lists, items, { item's request partition, ... },
--          { request, ... }, { home, ... }, { reservation_id, ... } }
--          lists are { locations, units, parts }; items are flat: fingerprint, time to live, 1 for best effort else 0,
--          channel, references of the record (customer TAB order TAB cart), order_ref, three names of reference sets
--          (`customer:<ref>` and so on, or ''), line count, then LINE_SIZE fields per line
--   reply  per item, as far as this call went: the record as text | REPEATED, reservation_id TAB record |
--          REQUEST_MISMATCH | RESERVATION_EXISTS | UNKNOWN_SKU, line | INSUFFICIENT_STOCK, line, available, ... |
--          SWEEP_FIRST, partition: sweep it, then send this item and those after it again
local function reserve(_, args)
  local message = begin_call(args)
  begin_expiry(EXPIRE_MAX)
  take_position, take_units, take_line, reserved_after = {}, {}, {}, {}
  local lists, items = message[5], message[6]
  local request_partitions, requests, homes, ids = message[7], message[8], message[9], message[10]
  local stored = look_up(request_partitions, requests, { 'requests:' .. period, 'requests:' .. period_before })
  local taken_ids = look_up(homes, ids, { 'reservations', 'closed:' .. period, 'closed:' .. period_before })
  local outcomes, made, at = {}, {}, 1
  for i = 1, #requests do
    if work > WORK_MAX then
      break
    end
    local fingerprint, line_count, id = items[at], items[at + 9], ids[i]
    local outcome = earlier_answer(requests[i], fingerprint, stored[i])
    if not outcome and (taken_ids[i] or made[id]) then
      outcome = { 'RESERVATION_EXISTS' }
    end
    if not outcome then
      local sweep
      outcome, sweep = decide_item(items, at + ITEM_SIZE, line_count, items[at + 2] == 1, lists)
      if sweep then
        outcomes[i] = { 'SWEEP_FIRST', sweep }
        break
      end
    end
    if not outcome then
      local home, channel = homes[i], items[at + 3]
      local expires_at = text_of(math.ceil(now_ms / 1000) + given(items[at + 1], 1))
      outcome = record_item(
        items, at + ITEM_SIZE, line_count, home, id, channel, items[at + 4], items[at + 5], expires_at
      )
      made[id] = true
      remember_request(request_partitions[i], requests[i], fingerprint, id, outcome)
      for r = at + 6, at + 8 do
        if items[r] ~= '' then
          set_changes[#set_changes + 1] = { 'SADD', tags[home] .. items[r], id }
        end
      end
    end
    outcomes[i] = outcome
    at = at + ITEM_SIZE + line_count * LINE_SIZE
  end
  return finish(outcomes, homes[1])
end

redis.register_function('invengine_reserve', reserve)
